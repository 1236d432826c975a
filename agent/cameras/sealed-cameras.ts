import { constants } from 'node:fs'
import { open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'

import { syncFolder, writeFileAtomic } from '../lib/atomic-file.ts'
import { makeFolder } from '../lib/durable-files.ts'
import { AgentError, errorCode, reportError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { CameraFile } from './camera-file.ts'
import { CopyFaults } from './copy-faults.ts'
import type { LastKnownGood, SealingStatus } from './last-known-good.ts'
import { openCopy, sealCopy, type OpenedCopy } from './sealed-copy.ts'
import { loadSealingKeys, type KeySources, type SealingKeys } from './sealing-key.ts'

export interface SealedCamerasOptions {
  /** `<state>/cameras` */
  readonly folder: string
  readonly thingName: string
  readonly keySources: KeySources
  readonly log: Log
}

const suffix = '.sealed'
const maxBytes = 1_048_576
const askForKeyEveryMs = 60_000

/**
 * The sealed copies, one file for each camera, for the agent's user alone. One that cannot be opened stays until it is
 * replaced, or its camera leaves the configuration.
 */
export class SealedCameras implements LastKnownGood {
  readonly #options: SealedCamerasOptions
  readonly #faults: CopyFaults
  #keys: SealingKeys | undefined
  #keysAtMs = -Infinity
  #loading: Promise<SealingKeys> | undefined

  constructor(options: SealedCamerasOptions) {
    this.#options = options
    this.#faults = new CopyFaults(options.log)
  }

  readonly read = async (name: string): Promise<CameraFile | undefined> => {
    const opened = await this.#open(name)
    return opened !== undefined && 'file' in opened ? opened.file : undefined
  }

  readonly write = async (name: string, file: CameraFile): Promise<void> => {
    const { folder, thingName } = this.#options
    const { current } = await this.#sealingKeys()
    if (current === undefined) return
    try {
      await makeFolder(folder, 0o700)
      await writeFileAtomic(this.#path(name), sealCopy(file, { thingName, camera: name }, current), { mode: 0o600 })
      this.#faults.wentWell('write', name)
      this.#faults.wentWell('read', name)
    } catch (error) {
      this.#faults.failed('write', name, error)
    }
  }

  /** Replaces the copy where it is not this file, or is sealed with another key than the one in use. */
  async renew(name: string, file: CameraFile): Promise<void> {
    const { current } = await this.#sealingKeys()
    if (current === undefined) return
    const opened = await this.#open(name)
    const isSame = opened !== undefined && 'file' in opened && isDeepStrictEqual(opened.file, file)
    if (!isSame || opened.keyId !== current.id) await this.write(name, file)
  }

  readonly keep = async (names: readonly string[]): Promise<void> => {
    const expected = new Set(names.map((name) => `${name}${suffix}`))
    await this.#remove((name) => name.endsWith(suffix) && !expected.has(name))
    this.#faults.keep(new Set(names))
  }

  /** Gets the key, and removes what a crash left half-written: not while anything writes to the folder. */
  async prepare(): Promise<void> {
    await this.#sealingKeys()
    await this.#remove((name) => /^\.[0-9a-f]{12}\.tmp$/.test(name))
  }

  readonly status = (): SealingStatus => {
    const { source = 'none', fault: keyFault } = this.#keys ?? {}
    const first = this.#faults.first()
    const report = keyFault === undefined ? first : reportError(keyFault)
    if (report === undefined) return { key: source }
    const others = keyFault === undefined ? (first?.others ?? 0) : 0
    const fault = others === 0 ? report.message : `${report.message}; and ${others} more`
    return { key: source, fault, ...(report.hint === undefined ? {} : { hint: report.hint }) }
  }

  /** Undefined when there is no copy, or no key. */
  async #open(name: string): Promise<OpenedCopy | undefined> {
    const { known } = await this.#sealingKeys()
    try {
      const text = await readRegularFile(this.#path(name))
      if (text === undefined || known.length === 0) return undefined
      const opened = openCopy(text, { thingName: this.#options.thingName, camera: name }, known)
      if ('fault' in opened) this.#faults.failed('read', name, cannotBeOpened(name, opened.fault))
      else this.#faults.wentWell('read', name)
      return opened
    } catch (error) {
      this.#faults.failed('read', name, cannotBeOpened(name, 'cannot be read', error))
      return undefined
    }
  }

  async #remove(isUnwanted: (name: string) => boolean): Promise<void> {
    const { folder } = this.#options
    try {
      const unwanted = (await readdir(folder)).filter(isUnwanted)
      for (const name of unwanted) await rm(join(folder, name), { recursive: true, force: true })
      if (unwanted.length > 0) await syncFolder(folder)
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return
      this.#options.log.warn('sealed copies that nobody needs cannot be removed', { folder, error })
    }
  }

  /** Asked again now and then while there is a fault: a disk that was read-only may be writable again. */
  async #sealingKeys(): Promise<SealingKeys> {
    const isDue = monotonicMs() - this.#keysAtMs >= askForKeyEveryMs
    if (this.#keys !== undefined && (this.#keys.fault === undefined || !isDue)) return this.#keys
    this.#loading ??= this.#loadKeys().finally(() => {
      this.#loading = undefined
    })
    return await this.#loading
  }

  async #loadKeys(): Promise<SealingKeys> {
    const before = this.#keys
    const keys = await loadSealingKeys(this.#options.keySources)
    this.#keys = keys
    this.#keysAtMs = monotonicMs()
    const { log } = this.#options
    if (keys.fault === undefined) log.info('there is a key to seal camera credentials with', { from: keys.source })
    else if (before?.fault?.message !== keys.fault.message)
      log.warn('camera credentials are not kept for a reboot without network', { error: keys.fault })
    return keys
  }

  #path(name: string): string {
    return join(this.#options.folder, `${name}${suffix}`)
  }
}

/** Undefined when there is none. Neither follows a link nor waits for anybody, as opening a FIFO would. */
async function readRegularFile(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const found = await file.stat()
    if (!found.isFile() || found.size > maxBytes) throw new AgentError(`${path} is no sealed copy`)
    return await file.readFile('utf8')
  } finally {
    await file.close()
  }
}

function cannotBeOpened(camera: string, what: string, cause?: unknown): AgentError {
  return new AgentError(`the sealed copy of camera ${camera} ${what}`, {
    hint: 'nothing, where the secret can be read: it is sealed anew; until then a reboot leaves that camera without credentials',
    cause,
  })
}
