/* emu_kernels - every .cu file of kernels/ that is plain CUDA C++, compiled for the emulation:
 * NAME_emu. */
#include "tests/emu/cuda_cpu.h"

#include "kernels/cuda.h"
#include "kernels/gemm.h"

/* A namespace each: kernels of different files may share names. */
namespace emu_shared {
#include "kernels/cuda_shared.cu"
}
namespace emu_adamw {
#include "kernels/adamw.cu"
}
namespace emu_add {
#include "kernels/add.cu"
}
namespace emu_attention {
#include "kernels/attention.cu"
}
namespace emu_cross_entropy {
#include "kernels/cross_entropy.cu"
}
namespace emu_embedding {
#include "kernels/embedding.cu"
}
namespace emu_gelu {
#include "kernels/gelu.cu"
}
namespace emu_grad_norm {
#include "kernels/grad_norm.cu"
}
namespace emu_layernorm {
#include "kernels/layernorm.cu"
}
namespace emu_matmul {
#include "kernels/matmul.cu"
}
namespace emu_position {
#include "kernels/position.cu"
}
namespace emu_rmsnorm {
#include "kernels/rmsnorm.cu"
}
namespace emu_rope {
#include "kernels/rope.cu"
}
namespace emu_swiglu {
#include "kernels/swiglu.cu"
}
