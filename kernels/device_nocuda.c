/* device_nocuda - stands in for device_cuda.cu in builds without CUDA: there is no such device. */
#include "kernels/device.h"

#include "core/err.h"

#if !HAVE_CUDA
bool cuda_available(void) { return false; }
const char *cuda_describe(void)
{
    return "none: this program was built without CUDA (make CUDA=1)";
}

const char *cuda_libraries(void) { return "none"; }

static int refuse(void)
{
    return err_set(
        ERR_GPU,
        "cuda: this program was built without CUDA: use the CPU, or build with make CUDA=1");
}

int cuda_open(struct stream *s)
{
    UNUSED(s);
    return refuse();
}

void cuda_close(struct stream *s) { UNUSED(s); }

int cuda_alloc(struct stream *s, size_t bytes, void **out)
{
    UNUSED(s), UNUSED(bytes), UNUSED(out);
    return refuse();
}

void cuda_free(struct stream *s, void *ptr) { UNUSED(s), UNUSED(ptr); }

int cuda_host_alloc(struct stream *s, size_t bytes, void **out)
{
    UNUSED(s), UNUSED(bytes), UNUSED(out);
    return refuse();
}

void cuda_host_free(struct stream *s, void *ptr) { UNUSED(s), UNUSED(ptr); }

int cuda_upload(struct stream *s, void *to, const void *from_host, size_t bytes)
{
    UNUSED(s), UNUSED(to), UNUSED(from_host), UNUSED(bytes);
    return refuse();
}

int cuda_download(struct stream *s, void *to_host, const void *from, size_t bytes)
{
    UNUSED(s), UNUSED(to_host), UNUSED(from), UNUSED(bytes);
    return refuse();
}

int cuda_zero(struct stream *s, void *to, size_t bytes)
{
    UNUSED(s), UNUSED(to), UNUSED(bytes);
    return refuse();
}

int cuda_wait(struct stream *s)
{
    UNUSED(s);
    return refuse();
}
#endif
