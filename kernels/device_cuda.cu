/* device_cuda - CUDA as a device: finding a GPU without ever failing, streams, memory, copies. */
#include "kernels/cublas.h"
#include "kernels/cuda.h"

#include <stdio.h>

static int check(const char *what, cudaError_t status)
{
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError(); /* else the next launch would be blamed for it */
    return cuda_failed(what, cudaGetErrorString(status));
}

/* Any failure means that there is no GPU: no driver, an old driver, a stub, no device. */
static bool look(char *said, size_t bytes)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess || count < 1) {
        snprintf(said, bytes, "none: %s",
                 status == cudaSuccess ? "no device" : cudaGetErrorString(status));
        return false;
    }
    cudaDeviceProp prop;
    status = cudaGetDeviceProperties(&prop, 0);
    if (status != cudaSuccess) {
        snprintf(said, bytes, "none: %s", cudaGetErrorString(status));
        return false;
    }
    snprintf(said, bytes, "%s, sm_%d%d, %d SMs, %.0f GiB", prop.name, prop.major, prop.minor,
             prop.multiProcessorCount, (double)prop.totalGlobalMem / (double)(1 << 30));
    return true;
}

static char said[320];
static bool found;

bool cuda_available(void)
{
    if (!said[0])
        found = look(said, sizeof said);
    return found;
}

const char *cuda_describe(void)
{
    cuda_available();
    return said;
}

const char *cuda_libraries(void) { return cublas_describe(); }

int cuda_open(struct stream *s)
{
    if (!cuda_available())
        return cuda_failed("no GPU", said);
    cudaStream_t handle = nullptr;
    int rc = check("cudaSetDevice", cudaSetDevice(0));
    if (rc >= 0)
        rc = check("cudaStreamCreate", cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
    if (rc < 0)
        return rc;
    s->cuda = handle;
    rc = cublas_open(s);
    if (rc < 0)
        cuda_close(s);
    return rc;
}

void cuda_close(struct stream *s)
{
    cublas_close(s);
    if (s->cuda)
        cudaStreamDestroy((cudaStream_t)s->cuda);
    s->cuda = nullptr;
}

int cuda_alloc(struct stream *s, size_t bytes, void **out)
{
    UNUSED(s);
    cudaError_t status = cudaMalloc(out, bytes);
    if (status == cudaSuccess)
        return 0;
    char what[96];
    size_t free_bytes = 0, all_bytes = 0;
    cudaMemGetInfo(&free_bytes, &all_bytes);
    snprintf(what, sizeof what, "%.2f GiB asked, %.2f GiB of device memory are free",
             (double)bytes / (double)(1 << 30), (double)free_bytes / (double)(1 << 30));
    return check(what, status);
}

void cuda_free(struct stream *s, void *ptr)
{
    UNUSED(s);
    cudaFree(ptr);
}

int cuda_host_alloc(struct stream *s, size_t bytes, void **out)
{
    UNUSED(s);
    return check("pinning host memory", cudaHostAlloc(out, bytes, cudaHostAllocDefault));
}

void cuda_host_free(struct stream *s, void *ptr)
{
    UNUSED(s);
    cudaFreeHost(ptr);
}

int cuda_upload(struct stream *s, void *to, const void *from_host, size_t bytes)
{
    return check("copy to the GPU", cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice,
                                                    (cudaStream_t)s->cuda));
}

int cuda_download(struct stream *s, void *to_host, const void *from, size_t bytes)
{
    int rc = check(
        "copy from the GPU",
        cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, (cudaStream_t)s->cuda));
    return rc < 0 ? rc : cuda_wait(s);
}

int cuda_zero(struct stream *s, void *to, size_t bytes)
{
    return check("clearing device memory", cudaMemsetAsync(to, 0, bytes, (cudaStream_t)s->cuda));
}

int cuda_wait(struct stream *s)
{
    return check("waiting for the GPU", cudaStreamSynchronize((cudaStream_t)s->cuda));
}
