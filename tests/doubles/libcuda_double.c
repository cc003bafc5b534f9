/* The functions of libcuda that edgeyolo calls, on host memory: the calling convention is real,
   the GPU is not. DOUBLE_CUDA_DEVICES sets how many GPUs there are (default 1),
   DOUBLE_CUDA_CAPABILITY what they are (default 8.7), DOUBLE_CUDA_MULTIPROCESSORS how large (8).
   Everything that is allocated is counted, so that a leak or a double free shows; so are the copies made. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_HANDLE = 400 };

static int live_allocations, live_streams, live_graphs, retained, initialised, current;
static int copies, faulty;

typedef struct { void *to; const void *from; size_t n; void (*callback)(void); } Work;
typedef struct { Work *work; int count; } Graph;
static Graph *capturing;

int double_live(void) { return live_allocations + live_streams + live_graphs + retained; }
/* From now on calls fail as they do after a fault of the GPU; they still free, so that what is
   left over shows. */
void double_fault(int on) { faulty = on; }
int double_copies(void) { return copies; }
int double_capturing(void) { return capturing != NULL; }

#define FAULT (faulty ? 700 : 0)

static CUresult record(Work work) {
    capturing->work = realloc(capturing->work, sizeof(Work) * (capturing->count + 1));
    capturing->work[capturing->count++] = work;
    return 0;
}
void double_record_callback(void (*callback)(void)) { record((Work){NULL, NULL, 0, callback}); }

static int devices(void) {
    const char *text = getenv("DOUBLE_CUDA_DEVICES");
    return text ? atoi(text) : 1;
}
static int multiprocessors(void) {
    const char *text = getenv("DOUBLE_CUDA_MULTIPROCESSORS");
    return text ? atoi(text) : 8;
}
CUresult cuInit(unsigned flags) {
    if (flags) return INVALID_VALUE;
    if (!devices()) return NO_DEVICE;
    initialised = 1;
    return 0;
}
CUresult cuDriverGetVersion(int *version) { *version = 12060; return 0; }
CUresult cuDeviceGetCount(int *count) { *count = devices(); return initialised ? 0 : 3; }
CUresult cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
CUresult cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    strncpy(name, "Double GPU", length);
    return 0;
}
CUresult cuDeviceGetPCIBusId(char *address, int length, int device) {
    snprintf(address, length, "0000:%02X:00.0", 0x1a + device);
    return 0;
}
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    const char *text = getenv("DOUBLE_CUDA_CAPABILITY");
    if (!text) text = "8.7";
    *value = attribute == 75 ? text[0] - '0' : attribute == 76 ? text[2] - '0'
           : attribute == 18 ? 1 : attribute == 16 ? multiprocessors() : -1;
    return 0;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    *context = &retained;
    retained++;
    return 0;
}
CUresult cuDevicePrimaryCtxRelease_v2(int device) { (void)device; retained--; return FAULT; }
CUresult cuCtxSetCurrent(void *context) { current = context == &retained; return FAULT; }
CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    *free_bytes = (size_t)3 << 30;
    *total = (size_t)8 << 30;
    return current ? 0 : 201;
}
static CUresult allocate(void **pointer, size_t n) {
    if (!current) return 201;
    if (n > (size_t)1 << 40) return OUT_OF_MEMORY;
    *pointer = calloc(1, n);
    live_allocations++;
    return *pointer ? 0 : OUT_OF_MEMORY;
}
CUresult cuMemAlloc_v2(uint64_t *device, size_t n) { return allocate((void **)device, n); }
CUresult cuMemAllocHost_v2(void **host, size_t n) { return allocate(host, n); }
CUresult cuMemFree_v2(uint64_t device) { free((void *)device); live_allocations--; return FAULT; }
CUresult cuMemFreeHost(void *host) { free(host); live_allocations--; return FAULT; }
static CUresult copy(void *to, const void *from, size_t n, void *stream) {
    if (!stream || !to || !from) return INVALID_HANDLE;
    if (capturing) return record((Work){to, from, n, NULL});
    memcpy(to, from, n);
    copies++;
    return 0;
}
CUresult cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t n, void *stream) {
    return copy((void *)to, from, n, stream);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t n, void *stream) {
    return copy(to, (void *)from, n, stream);
}
CUresult cuStreamCreate(void **stream, unsigned flags) {
    if (flags != 1) return INVALID_VALUE;
    *stream = malloc(1);
    live_streams++;
    return 0;
}
CUresult cuStreamDestroy_v2(void *stream) { free(stream); live_streams--; return FAULT; }
CUresult cuStreamSynchronize(void *stream) {
    return !stream || capturing ? INVALID_HANDLE : FAULT;
}
CUresult cuEventCreate(void **event, unsigned flags) {
    if (flags != 3) return INVALID_VALUE;
    *event = calloc(1, 1);
    live_streams++;
    return 0;
}
CUresult cuEventRecord(void *event, void *stream) {
    if (!event || !stream || capturing) return INVALID_HANDLE;
    *(char *)event = 1;
    return 0;
}
CUresult cuEventSynchronize(void *event) { return event && *(char *)event ? 0 : INVALID_HANDLE; }
CUresult cuEventDestroy_v2(void *event) { free(event); live_streams--; return FAULT; }
CUresult cuStreamBeginCapture_v2(void *stream, int mode) {
    if (!stream || mode != 1 || capturing) return INVALID_VALUE;
    capturing = calloc(1, sizeof(Graph));
    return 0;
}
CUresult cuStreamEndCapture(void *stream, void **graph) {
    if (!stream || !capturing) return INVALID_VALUE;
    *graph = capturing;
    capturing = NULL;
    live_graphs++;
    return 0;
}
CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, uint64_t flags) {
    if (flags) return INVALID_VALUE;
    *executable = graph;
    live_graphs++;
    return 0;
}
CUresult cuGraphLaunch(void *executable, void *stream) {
    Graph *graph = executable;
    if (!stream) return INVALID_HANDLE;
    for (int i = 0; i < graph->count; i++) {
        Work work = graph->work[i];
        if (work.callback) work.callback();
        else memcpy(work.to, work.from, work.n), copies++;
    }
    return 0;
}
CUresult cuGraphExecDestroy(void *executable) { (void)executable; live_graphs--; return FAULT; }
CUresult cuGraphDestroy(void *graph) {
    free(((Graph *)graph)->work);
    free(graph);
    live_graphs--;
    return FAULT;
}
CUresult cuGetErrorString(int error, const char **text) {
    *text = error == NO_DEVICE ? "no CUDA-capable device is detected"
          : error == OUT_OF_MEMORY ? "out of memory" : "double error";
    return 0;
}
