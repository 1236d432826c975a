import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

import {
  createArtifactWorker,
  type ArtifactWorker,
  type ArtifactWorkerDeps,
} from '../../../agent/artifacts/artifact-worker.ts'
import type { ArtifactConfig } from '../../../agent/config/config-schema.ts'
import { createLog, type Log, type LogLine } from '../../../agent/lib/log.ts'
import type { FakeArtifactSource } from '../../support/fake-artifact-source.ts'
import { sharedTransfers } from '../../support/shared-transfers.ts'

export interface TempFolder extends AsyncDisposable {
  readonly path: string
}

export async function tempFolder(): Promise<TempFolder> {
  const path = await mkdtemp(join(tmpdir(), 'panorama-artifacts-'))
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true })
    },
  }
}

export interface RecordedLog {
  readonly log: Log
  readonly lines: readonly LogLine[]
}

export function recordedLog(level: LogLine['level'] = 'info'): RecordedLog {
  const lines: LogLine[] = []
  return { lines, log: createLog({ level, sinks: [(line) => lines.push(line)] }) }
}

/** A running artifact worker over a fake source, as one process would have it. */
export interface RunningWorker extends AsyncDisposable, ArtifactWorker {
  readonly lines: readonly LogLine[]
  /** Runs one pass, the first one as well, and settles as it does. */
  readonly pass: () => Promise<void>
  /** Stops the worker and waits until nothing of it runs. */
  readonly stop: () => Promise<void>
}

type Options = Partial<Omit<ArtifactWorkerDeps, 'artifact' | 'source' | 'folder' | 'log'>> &
  Partial<Pick<ArtifactConfig, 'keepReleases' | 'health' | 'maxStoreBytes'>> & {
    readonly trustedKeys?: readonly string[]
  }

const quickBackoff = { baseMs: 2, capMs: 5, floorMs: 1 }

/** A worker on `<state>/artifacts/app` that begins with the first `pass`. */
export function startWorker(
  state: TempFolder,
  source: FakeArtifactSource,
  { trustedKeys = [], keepReleases = 2, health, maxStoreBytes, ...options }: Options = {},
): RunningWorker {
  const { log, lines } = recordedLog()
  const artifact = {
    name: 'app',
    accessPoint: 'unused',
    prefix: source.prefix,
    pollSeconds: 300,
    keepReleases,
    ...(health === undefined ? {} : { health }),
    ...(maxStoreBytes === undefined ? {} : { maxStoreBytes }),
    trustedKeys: [...trustedKeys],
  }
  const started = createArtifactWorker({
    artifact,
    source,
    folder: appFolder(state),
    log,
    transfers: sharedTransfers(),
    backoff: quickBackoff,
    ...options,
  })
  const { worker } = started
  const controller = new AbortController()
  let ended: Promise<void> | undefined
  const pass = async (): Promise<void> => {
    const requested = worker.requestPass()
    ended ??= worker.supervise(controller.signal)
    await requested
  }
  const stop = async (): Promise<void> => {
    controller.abort(new Error('the worker is stopped'))
    await ended
  }
  return { ...started, lines, pass, stop, [Symbol.asyncDispose]: stop }
}

export function appFolder(state: TempFolder): string {
  return join(state.path, 'artifacts', 'app')
}

/** Path to content of everything below the folder that `current` names; undefined when there is none. */
export async function installedFiles(state: TempFolder): Promise<Readonly<Record<string, string>> | undefined> {
  const root = await realpath(join(appFolder(state), 'current')).catch(() => undefined)
  if (root === undefined) return undefined
  const files: Record<string, string> = {}
  for (const path of await filesBelow(root)) files[path] = await readFile(join(root, path), 'utf8')
  return files
}

/** Every file below a folder, relative to it, sorted. */
export async function filesBelow(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort()
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
