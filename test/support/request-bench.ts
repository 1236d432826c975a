import { chmod, chown, lutimes, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { handleRequests, type HandlerOptions, type RunEnd } from '../../agent/request-handler/handle-requests.ts'
import { tempFolder } from './temp-folder.ts'

const releasedAtMs = Date.UTC(2026, 10, 24)

/** Stands for the agent's user where the tests run as root, so that its files are told from root's. */
const agentUid = 60_123

/** The folders of section 8 in a folder of its own, and a systemctl that only notes what it is asked for. */
export interface RequestBench extends AsyncDisposable {
  readonly folder: string
  readonly runtimeFolder: string
  readonly requestsFolder: string
  readonly answersFolder: string
  readonly workFolder: string
  readonly configFolder: string
  /** Who the requests have to come from. */
  readonly agent: { readonly uid: number; readonly gid: number }
  readonly options: HandlerOptions
  /** What went to the journal. */
  readonly lines: string[]
  /** What the clock was set to. */
  readonly clockSets: number[]
  readonly clock: { nowMs: number; isSynchronised: boolean; obeys: boolean }
  /** Puts a file of the agent's among the requests. */
  readonly put: (name: string | Buffer, content: string | Uint8Array) => Promise<Buffer>
  /** Makes a list of what root is willing to do. */
  readonly allow: (verb: string, ...names: readonly string[]) => Promise<string>
  readonly addHook: (name: string, script: string) => Promise<string>
  readonly handle: (change?: Partial<HandlerOptions>) => Promise<RunEnd>
  readonly answer: (id: string) => Promise<unknown>
  /** The arguments of each systemctl. */
  readonly systemctlCalls: () => Promise<readonly string[]>
}

export async function requestBench(): Promise<RequestBench> {
  await using resources = new AsyncDisposableStack()
  const { path: folder } = resources.use(await tempFolder())
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()]
  const agent = uid === 0 ? { uid: agentUid, gid: agentUid } : { uid, gid }
  const at = (...parts: readonly string[]): string => join(folder, ...parts)
  await chmod(folder, 0o755)
  for (const path of ['work', 'etc', 'etc/allowed', 'etc/hooks', 'run', 'run/requests', 'run/answers']) {
    await mkdir(at(path), { mode: path === 'work' ? 0o700 : 0o755 })
    if (path.startsWith('run')) await chown(at(path), agent.uid, agent.gid)
  }
  const systemctlLog = at('systemctl.log')
  await writeFile(at('systemctl'), `#!/bin/sh\necho "$*" >>${systemctlLog}\n`, { mode: 0o755 })
  const lines: string[] = []
  const clockSets: number[] = []
  const clock = { nowMs: Date.now(), isSynchronised: false, obeys: true }
  const options: HandlerOptions = {
    runtimeFolder: at('run'),
    workFolder: at('work'),
    configFolder: at('etc'),
    owner: { uid, gid },
    systemctl: at('systemctl'),
    clock: {
      nowMs: () => clock.nowMs,
      isSynchronised: () => clock.isSynchronised,
      set: (timeMs) => clock.obeys && clockSets.push(timeMs) > 0,
    },
    releasedAtMs,
    patienceMs: 0,
    update: {
      folder: at('update'),
      artifacts: at('artifacts'),
      programs: at('lib'),
      units: at('units'),
      root: at('root'),
      dpkgFolder: at('dpkg'),
      dpkg: at('bin-dpkg'),
      dpkgDeb: 'dpkg-deb',
      dpkgQuery: at('bin-dpkg-query'),
    },
    print: (line) => {
      lines.push(line)
    },
  }
  const owned = resources.move()
  const requestsFolder = at('run/requests')
  return {
    folder,
    runtimeFolder: at('run'),
    requestsFolder,
    answersFolder: at('run/answers'),
    workFolder: at('work'),
    configFolder: at('etc'),
    agent,
    options,
    lines,
    clockSets,
    clock,
    put: async (name, content) => {
      const path = Buffer.concat([Buffer.from(`${requestsFolder}/`), Buffer.from(name)])
      await writeFile(path, content)
      await chown(path, agent.uid, agent.gid)
      return path
    },
    allow: async (verb, ...names) => {
      await writeFile(at('etc/allowed', verb), names.map((name) => `${name}\n`).join(''))
      return at('etc/allowed', verb)
    },
    addHook: async (name, script) => {
      await writeFile(at('etc/hooks', name), script, { mode: 0o755 })
      return at('etc/hooks', name)
    },
    handle: async (change = {}) => await handleRequests({ ...options, ...change }),
    answer: async (id) => JSON.parse(await readFile(at('run/answers', `${id}.json`), 'utf8')) as unknown,
    systemctlCalls: async () => {
      const text = await readFile(systemctlLog, 'utf8').catch(() => '')
      return text.split('\n').filter((line) => line !== '')
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** The names in a folder, sorted. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).sort()
}

/** Makes an entry look as if it was written at that time. */
export async function date(path: string | Buffer, timeMs: number): Promise<void> {
  await lutimes(path, timeMs / 1_000, timeMs / 1_000)
}
