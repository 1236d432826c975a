import { createHash } from 'node:crypto'
import { chmod, open, readdir, readFile, rm, truncate, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

import { syncFolder } from '../../lib/atomic-file.ts'
import { makeRealFolder, removeNoFolder } from '../../lib/durable-files.ts'
import { errorCode } from '../../lib/errors.ts'
import { ledgerHeaderLine, ledgerPartLine, parseLedger, type LedgerHeader } from './part-ledger.ts'
import type { WantedFile } from '../release/wanted-release.ts'

/** How many parts may be written and not yet recorded. */
const maxUnrecorded = 8

interface Unrecorded {
  readonly index: number
  readonly sha256: string
}

/**
 * Names the partial of an object in the version that is wanted, whatever folder it is in. One that is to be run has a
 * partial of its own: the store moves the file away with its mode.
 */
export function partialId({ object, promised, executable }: WantedFile): string {
  const { key, etag, versionId, sizeBytes } = object
  const mode = executable ? ['executable'] : [] // the ids of all others stay what they were in versions before
  const identity = JSON.stringify([key, etag ?? '', versionId ?? '', sizeBytes, promised ?? '', ...mode])
  return createHash('sha256').update(identity).digest('hex').slice(0, 32)
}

/**
 * Removes every partial that `isWanted` does not want, and data without a ledger or the other way round. Answers nothing
 * when there is no folder.
 */
export async function collectPartials(folder: string, isWanted: (id: string) => boolean): Promise<void> {
  await removeNoFolder(folder)
  const names = new Set(await readdir(folder).catch(noNames))
  for (const name of names) {
    const id = name.replace(/\.(data|parts)$/, '')
    const isWhole = id !== name && names.has(`${id}.data`) && names.has(`${id}.parts`)
    if (!isWhole || !isWanted(id)) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/**
 * An object on its way: `<id>.data` with its bytes where they belong, and `<id>.parts`, the ledger of the parts that are
 * durably there. A part is recorded only when the data was synced after it, and the ledger is synced in its turn.
 */
export class PartialFile implements AsyncDisposable {
  readonly header: LedgerHeader
  readonly path: string
  readonly data: FileHandle
  /** As the ledger had it when it was opened. */
  readonly recorded: ReadonlyMap<number, string>
  readonly #ledger: FileHandle
  readonly #ledgerPath: string
  #unrecorded: Unrecorded[] = []
  #recording: Promise<void> | undefined

  private constructor(path: string, { header, recorded, data, ledger }: Opened) {
    this.header = header
    this.path = `${path}.data`
    this.#ledgerPath = `${path}.parts`
    this.recorded = recorded
    this.data = data
    this.#ledger = ledger
  }

  /** Opens the partial of a file if there is one that was begun; undefined otherwise. */
  static async resume(folder: string, wanted: WantedFile): Promise<PartialFile | undefined> {
    const path = join(folder, partialId(wanted))
    const text = await readFile(`${path}.parts`, 'utf8').catch(() => '')
    const ledger = parseLedger(text)
    if (ledger === undefined || !isOf(ledger.header, wanted)) return undefined
    const { header, parts: recorded, validBytes } = ledger
    const data = await openAgain(`${path}.data`)
    if (data === undefined) return undefined
    await truncate(`${path}.parts`, validBytes)
    return new PartialFile(path, { header, recorded, data, ledger: await open(`${path}.parts`, 'a') })
  }

  /** Begins anew; what was there of the same file is lost. `header` tells what the source calls this version. */
  static async begin(folder: string, wanted: WantedFile, header: LedgerHeader): Promise<PartialFile> {
    const path = join(folder, partialId(wanted))
    await makeRealFolder(folder, 0o700)
    await rm(`${path}.parts`, { force: true })
    await rm(`${path}.data`, { force: true })
    const data = await open(`${path}.data`, 'wx+', 0o600)
    const ledger = await open(`${path}.parts`, 'a', 0o600)
    await ledger.writeFile(ledgerHeaderLine(header))
    await ledger.datasync()
    await syncFolder(folder)
    return new PartialFile(path, { header, recorded: new Map(), data, ledger })
  }

  /**
   * Records that a part is written. Resolves before that is durable, but only when not too many parts wait for it; a
   * failure shows at the next call or in `settle`.
   */
  async record(index: number, sha256: string): Promise<void> {
    this.#unrecorded.push({ index, sha256 })
    this.#recording ??= this.#recordAll()
    this.#recording.catch(() => undefined) // whoever waits for it gets it
    if (this.#unrecorded.length >= maxUnrecorded) await this.#recording
  }

  /** Waits until everything is recorded. */
  async settle(): Promise<void> {
    await this.#recording
  }

  /** Makes what is there durable and gives the file its mode, so that it can be moved away. */
  async finish(mode: number): Promise<void> {
    await this.settle()
    await this.data.chmod(mode)
    await this.data.sync()
  }

  /** Removes the ledger, when the data was moved away. */
  async forget(): Promise<void> {
    await rm(this.#ledgerPath, { force: true })
  }

  /** Removes what is left of it. */
  async drop(): Promise<void> {
    await this.#recording?.catch(() => undefined)
    await rm(this.#ledgerPath, { force: true })
    await rm(this.path, { force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#recording?.catch(() => undefined)
    await this.data.close()
    await this.#ledger.close()
  }

  /** One sync serves all parts that were written when it began. */
  async #recordAll(): Promise<void> {
    while (this.#unrecorded.length > 0) {
      const parts = this.#unrecorded
      this.#unrecorded = []
      await this.data.datasync()
      await this.#ledger.appendFile(parts.map(({ index, sha256 }) => ledgerPartLine(index, sha256)).join(''))
      await this.#ledger.datasync()
    }
    this.#recording = undefined
  }
}

/** One that was about to be moved away is read-only already. */
async function openAgain(path: string): Promise<FileHandle | undefined> {
  try {
    await chmod(path, 0o600)
    return await open(path, 'r+')
  } catch {
    return undefined
  }
}

interface Opened {
  readonly header: LedgerHeader
  readonly recorded: ReadonlyMap<number, string>
  readonly data: FileHandle
  readonly ledger: FileHandle
}

function isOf(header: LedgerHeader, { object, promised }: WantedFile): boolean {
  return (
    header.key === object.key &&
    header.sizeBytes === object.sizeBytes &&
    header.promised === promised &&
    header.versionId === object.versionId &&
    (object.etag === undefined || header.etag === object.etag)
  )
}

function noNames(error: unknown): readonly string[] {
  if (errorCode(error) === 'ENOENT') return []
  throw error
}
