import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { runCommand } from './run-command.ts'

export interface NamespaceOptions {
  /** For files that the programs in it see in the place of the system's. */
  readonly folder: string
  /** Run by sh before the program, in the new network. */
  readonly setup: readonly string[]
  /** Replaces files of the system for the program: path to content. */
  readonly files: Readonly<Record<string, string>>
  readonly program: readonly string[]
  readonly withinMs: number
}

/** Whether tests in a network of their own have to be left out, which is said in the output. */
export async function lacksNamespaces(what: string): Promise<boolean> {
  const why = await whyNoNamespace()
  if (why !== undefined) console.log(`skipped, because ${why}: ${what}`)
  return why !== undefined
}

/**
 * Runs a program to its end in network and mounts of its own; answers what it printed. The kernel removes both with the
 * last process in them.
 */
export async function runInNamespace(options: NamespaceOptions): Promise<string> {
  const { folder, setup, files, program, withinMs } = options
  const mounts: string[] = []
  for (const [index, [path, content]] of Object.entries(files).entries()) {
    const file = join(folder, `mounted-${index}`)
    await writeFile(file, content)
    mounts.push(`mount --bind ${file} ${path}`)
  }
  const script = ['set -e', ...setup, ...mounts, 'exec "$@"'].join('\n')
  const { stdout } = await runCommand('unshare', [...namespaces, 'sh', '-c', script, 'sh', ...program], { withinMs })
  return stdout
}

/** The program is the first process of a namespace too, so that nothing in it outlives it. */
const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']

async function whyNoNamespace(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make a network namespace'
  const script = 'ip link set lo up && ip link add out type veth peer name far'
  return await runCommand('unshare', [...namespaces, 'sh', '-c', script]).then(
    () => undefined,
    () => 'there is no unshare or ip here, or the kernel has no namespaces or no veth',
  )
}
