import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { syncFolder } from '../lib/atomic-file.ts'
import { makeFolder } from '../lib/durable-files.ts'
import { errorCode } from '../lib/errors.ts'
import { writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { parseOverlayVersion, type OverlayVersion } from './overlay-version.ts'

const keptVersions = 10
const fileName = /^([1-9]\d{0,14})\.json(\.unreadable)?$/
/** A file that lib/atomic-file has not finished. */
const unfinished = /^\.[0-9a-f]{12}\.tmp$/

/** What stands in a folder of versions. */
export interface OverlayFiles {
  /** The lowest number first. */
  readonly versions: readonly OverlayVersion[]
  readonly unreadable: readonly { readonly number: number; readonly path: string; readonly error: unknown }[]
  /** Of all files that are there, or were set aside; 0 when there is none. */
  readonly highestNumber: number
}

/** Reads a folder of versions and changes nothing in it. Throws when the folder is there and cannot be read. */
export async function readOverlayFiles(folder: string): Promise<OverlayFiles> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  })
  const found = names.flatMap((name) => {
    const [, digits, aside] = fileName.exec(name) ?? []
    return digits === undefined ? [] : [{ name, number: Number(digits), isAside: aside !== undefined }]
  })
  const versions: OverlayVersion[] = []
  const unreadable: { number: number; path: string; error: unknown }[] = []
  for (const { name, number, isAside } of found.toSorted((one, other) => one.number - other.number)) {
    if (isAside) continue
    const path = join(folder, name)
    try {
      versions.push(await readVersion(path, number))
    } catch (error) {
      unreadable.push({ number, path, error })
    }
  }
  return { versions, unreadable, highestNumber: Math.max(0, ...found.map(({ number }) => number)) }
}

/**
 * The versions of the remote overlay: `<state>/config/<number>.json` (0600 in 0700), one file each, the newest ten and
 * whatever may still be gone back to. Each change is one atomic write, so that a crash leaves a version as it was or as it
 * was to become. Calls must not overlap.
 */
export class OverlayStore {
  readonly #folder: string
  readonly #log: Log
  #files: OverlayFiles = { versions: [], unreadable: [], highestNumber: 0 }

  constructor(folder: string, log: Log) {
    this.#folder = folder
    this.#log = log
  }

  /**
   * Reads what is there. What is no version is set aside as `<number>.json.unreadable`; what only cannot be read at the
   * moment, or by this user, is left alone and not used. Never throws: a folder that cannot be had counts as one without versions.
   */
  async load(): Promise<void> {
    try {
      await makeFolder(this.#folder, 0o700)
    } catch (error) {
      this.#log.error('the folder of configuration versions is not as it should be', { path: this.#folder, error })
    }
    try {
      this.#files = await readOverlayFiles(this.#folder)
    } catch (error) {
      this.#log.error('configuration versions cannot be read: the base file alone is used', {
        path: this.#folder,
        error,
      })
      return
    }
    for (const { path, error } of this.#files.unreadable) await this.#setAside(path, error)
    await this.#removeUnfinished()
  }

  /** As they are on the disk, the lowest number first. */
  get versions(): readonly OverlayVersion[] {
    return this.#files.versions
  }

  /** What could not be read when they were loaded. */
  get unreadable(): OverlayFiles['unreadable'] {
    return this.#files.unreadable
  }

  /** Never used before, not even by a version that cannot be read any more. */
  get nextNumber(): number {
    return this.#files.highestNumber + 1
  }

  /** Makes a new version, or a changed one, durable. Throws a WriteError, and then a new one is not there. */
  async write(version: OverlayVersion): Promise<void> {
    const { number } = version
    const isNew = !this.versions.some((each) => each.number === number)
    const highestNumber = Math.max(number, this.#files.highestNumber)
    this.#files = { ...this.#files, highestNumber }
    try {
      await writeJsonState(this.#pathOf(number), version)
    } catch (error) {
      // it may have its name already, and only its folder not be synced
      if (isNew) await rm(this.#pathOf(number), { force: true }).catch(() => undefined)
      throw error
    }
    const others = this.versions.filter((each) => each.number !== number)
    const versions = [...others, version].toSorted((one, other) => one.number - other.number)
    this.#files = { ...this.#files, versions }
    await this.#prune()
  }

  #pathOf(number: number): string {
    return join(this.#folder, `${number}.json`)
  }

  async #prune(): Promise<void> {
    const accepted = this.versions.filter(({ state }) => state === 'accepted').slice(-2)
    const kept = new Set([...accepted, ...this.versions.slice(-keptVersions)])
    const dropped = this.versions.filter((version) => !kept.has(version))
    if (dropped.length === 0) return
    try {
      for (const { number } of dropped) await rm(this.#pathOf(number), { force: true })
      await syncFolder(this.#folder)
      this.#files = { ...this.#files, versions: this.versions.filter((version) => kept.has(version)) }
    } catch (error) {
      this.#log.warn('old configuration versions cannot be removed', { path: this.#folder, error })
    }
  }

  /** What a crash left of writes. */
  async #removeUnfinished(): Promise<void> {
    const names = await readdir(this.#folder).catch(() => [])
    for (const name of names.filter((each) => unfinished.test(each))) {
      await rm(join(this.#folder, name), { force: true }).catch(() => undefined) // they only take space
    }
  }

  async #setAside(path: string, error: unknown): Promise<void> {
    const code = errorCode(error)
    if (code !== undefined && code !== 'EISDIR') {
      this.#log.error('a configuration version cannot be read at the moment, and is not used', { path, error })
      return
    }
    const aside = `${path}.unreadable`
    this.#log.error('a configuration version cannot be read and is set aside', { path, aside, error })
    await rename(path, aside).catch((cause: unknown) => {
      this.#log.warn('a configuration version cannot be set aside', { path, error: cause })
    })
  }
}

async function readVersion(path: string, number: number): Promise<OverlayVersion> {
  const version = parseOverlayVersion(JSON.parse(await readFile(path, 'utf8')))
  if (version.number !== number) throw new Error(`it says that it is version ${version.number}`)
  return version
}
