/*
 * A plugin of QEMU's user mode: how many instructions the emulated process has run at each mark.
 *
 * A mark is the system call getpriority(MARK, label), which the kernel refuses as wrong, and which nothing else makes.
 * Each prints one line, "label count", to the file given as out=FILE. Instructions of all threads are added up.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <qemu-plugin.h>

#define GETPRIORITY_AARCH64 141
#define GETPRIORITY_ARM 96
#define MARK 0x65646765

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static qemu_plugin_u64 instructions;
static int64_t getpriority_number;
static FILE *out;

static void block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    /* Each instruction by itself: a block may be left in the middle. */
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++)
        qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(qemu_plugin_tb_get_insn(block, i),
                                                            QEMU_PLUGIN_INLINE_ADD_U64, instructions, 1);
}

static void system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2,
                        uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != getpriority_number || (uint32_t)a1 != MARK)
        return;
    fprintf(out, "%" PRIu64 " %" PRIu64 "\n", a2, qemu_plugin_u64_sum(instructions));
    fflush(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            out = fopen(argv[i] + 4, "we");
    if (out == NULL) {
        fprintf(stderr, "marks: out=FILE is missing or cannot be written\n");
        return -1;
    }
    getpriority_number = strcmp(info->target_name, "arm") == 0 ? GETPRIORITY_ARM : GETPRIORITY_AARCH64;
    instructions = qemu_plugin_scoreboard_u64(qemu_plugin_scoreboard_new(sizeof(uint64_t)));
    qemu_plugin_register_vcpu_tb_trans_cb(id, block_translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
