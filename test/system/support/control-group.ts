import { access, mkdir, readdir, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'

import { pollUntil } from './poll-until.ts'

/** Where a hierarchy may be mounted in which systemd keeps its groups: version 1, both versions at once, version 2. */
const hierarchies = ['/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified', '/sys/fs/cgroup']
const endWithinMs = 20_000

/** A control group (cgroups(7)) of its own for one container: whatever runs in it can be found and killed. */
export class ControlGroup implements AsyncDisposable {
  /** The folder of the group in each hierarchy. */
  readonly folders: readonly string[]

  private constructor(folders: readonly string[]) {
    this.folders = folders
  }

  static async make(name: string): Promise<ControlGroup> {
    const folders = (await mounted()).map((hierarchy) => join(hierarchy, name))
    for (const folder of folders) await mkdir(folder, { recursive: true })
    return new ControlGroup(folders)
  }

  /** The groups whose name starts with `prefix`. */
  static async named(prefix: string): Promise<readonly string[]> {
    const names = await Promise.all((await mounted()).map((hierarchy) => readdir(hierarchy)))
    return [...new Set(names.flat())].filter((name) => name.startsWith(prefix))
  }

  async processes(): Promise<readonly number[]> {
    const [first = ''] = this.folders
    const lists = await Promise.all((await groupsBelow(first)).map((group) => processesIn(group)))
    return lists.flat()
  }

  /** Kills everything in it with SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    await pollUntil(
      'nothing runs in the container any more',
      async () => {
        const pids = await this.processes()
        for (const pid of pids) killIfThere(pid)
        return pids.length === 0
      },
      endWithinMs,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    for (const folder of this.folders) {
      const deepestFirst = (await groupsBelow(folder)).toReversed()
      for (const group of deepestFirst) await rmdir(group).catch(() => undefined)
    }
  }
}

async function mounted(): Promise<readonly string[]> {
  const found: string[] = []
  for (const hierarchy of hierarchies) {
    const isMounted = access(join(hierarchy, 'cgroup.procs')).then(
      () => true,
      () => false,
    )
    if (await isMounted) found.push(hierarchy)
  }
  return found
}

/** The group and all below it, parents first. */
async function groupsBelow(group: string): Promise<readonly string[]> {
  const entries = await readdir(group, { withFileTypes: true }).catch(() => [])
  const children = entries.filter((entry) => entry.isDirectory())
  const below = await Promise.all(children.map(({ name }) => groupsBelow(join(group, name))))
  return [group, ...below.flat()]
}

async function processesIn(group: string): Promise<readonly number[]> {
  const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '')
  return text.split('\n').filter(Boolean).map(Number)
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ended by itself in the meantime
  }
}
