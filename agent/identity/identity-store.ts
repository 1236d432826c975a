import { randomBytes } from 'node:crypto'
import { readdir, readFile, readlink, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { removeUnfinished, syncFolder, writeFileAtomic } from '../lib/atomic-file.ts'
import { makeFolder, renameDurably } from '../lib/durable-files.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { readJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { joinPending, parsePendingNote, pendingFiles, pendingNote, type PendingIdentity } from './pending-identity.ts'
import { identityFiles, readStoredIdentity, type IdentityRecord, type StoredIdentity } from './stored-identity.ts'

/** What becomes the current identity. */
export interface NewIdentity {
  readonly kind: IdentityRecord['obtainedBy']
  readonly certificateId: string
  readonly certificate: string
  readonly privateKey: string
}

/**
 * The identities that the appliance got for itself. Every method but the readers may be repeated after a crash at any point
 * in it, and whatever was there before stays usable until then. Not for two callers at once.
 */
export interface IdentityStore {
  /** The identity in use, on trial or not. Throws a retryable AgentError when that cannot be told at the moment. */
  current(): Promise<StoredIdentity | undefined>
  /** The one before, while the current one is on trial. */
  previous(): Promise<StoredIdentity | undefined>
  /** What is under way; undefined when nothing is, or when what was cannot be read: then it is begun anew. */
  pending(): Promise<PendingIdentity | undefined>
  /** Durable once it resolves. Throws a WriteError. */
  savePending(pending: PendingIdentity): Promise<void>
  dropPending(): Promise<void>
  /** Makes it the current one, on trial; what was proven last becomes the previous one. */
  adopt(identity: NewIdentity, thingName: string): Promise<void>
  /**
   * Ends the trial and removes the other identity. Without a previous one, `previous` takes away the current one only
   * where it is the pending one, so that a repetition cannot take away what was gone back to.
   */
  settle(kept: 'new' | 'previous'): Promise<void>
}

/** What the store does to the disk; each is durable once it resolves, and may be repeated. */
export interface StoreFiles {
  readonly makeFolder: (path: string) => Promise<void>
  readonly write: (path: string, content: string) => Promise<void>
  /** Makes `path` a link to `target`, in the place of the link that is there. */
  readonly link: (path: string, target: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
}

export interface IdentityStoreOptions {
  /** `<state>/identity`, which has to be there. */
  readonly folder: string
  readonly log: Log
  /** In milliseconds since 1970. */
  readonly now: () => number
  /** The disk, but for tests. */
  readonly files?: StoreFiles
}

/** `versions/<certificate id>/`, the links `current` and `previous` to two of them, and `pending/`. */
export function openIdentityStore(options: IdentityStoreOptions): IdentityStore {
  return new FolderIdentityStore(options)
}

class FolderIdentityStore implements IdentityStore {
  readonly #options: IdentityStoreOptions
  readonly #files: StoreFiles

  constructor(options: IdentityStoreOptions) {
    this.#options = options
    this.#files = options.files ?? diskFiles
  }

  async current(): Promise<StoredIdentity | undefined> {
    return await this.#stored('current')
  }

  async previous(): Promise<StoredIdentity | undefined> {
    return await this.#stored('previous')
  }

  async pending(): Promise<PendingIdentity | undefined> {
    const { log } = this.#options
    const path = this.#path('pending', pendingFiles.note)
    const isVital = (): boolean => true // what cannot be read at the moment is not damaged
    const note = await readJsonState({ path, log, parse: parsePendingNote, isVital })
    if (note === undefined) return undefined
    const privateKey = await this.#pendingText(pendingFiles.privateKey)
    const certificate = await this.#pendingText(pendingFiles.certificate)
    const pending = joinPending(note, { privateKey, certificate })
    if (pending === undefined) log.warn('key or certificate of the pending identity is damaged: it is begun anew')
    return pending
  }

  async savePending(pending: PendingIdentity): Promise<void> {
    const { privateKey } = pending
    const isOther = (await this.#pendingText(pendingFiles.privateKey)) !== privateKey
    await this.#files.makeFolder(this.#path('pending'))
    if (isOther) {
      // a note never stands beside the key of another
      await this.#files.remove(this.#path('pending', pendingFiles.note))
      await this.#files.write(this.#path('pending', pendingFiles.privateKey), privateKey)
    }
    if (pending.step !== 'key' && (await this.#pendingText(pendingFiles.certificate)) !== pending.certificate) {
      await this.#files.write(this.#path('pending', pendingFiles.certificate), pending.certificate)
    }
    await this.#files.write(this.#path('pending', pendingFiles.note), `${JSON.stringify(pendingNote(pending))}\n`)
  }

  async dropPending(): Promise<void> {
    await this.#files.remove(this.#path('pending', pendingFiles.note))
    await this.#files.remove(this.#path('pending'))
  }

  async adopt(identity: NewIdentity, thingName: string): Promise<void> {
    const { certificateId, certificate, privateKey, kind } = identity
    const current = await this.current()
    const isDone = current?.id === certificateId && current.thingName === thingName
    if (isDone && current.certificate === certificate && current.privateKey === privateKey) return
    await this.#files.makeFolder(this.#path('versions'))
    const folder = this.#path('versions', certificateId)
    await this.#files.makeFolder(folder)
    await this.#files.write(join(folder, identityFiles.certificate), certificate)
    await this.#files.write(join(folder, identityFiles.privateKey), privateKey)
    const at = new Date(this.#options.now()).toISOString()
    const record: IdentityRecord = { version: 1, thingName, certificateId, obtainedBy: kind, at }
    await this.#files.write(join(folder, identityFiles.record), `${JSON.stringify(record)}\n`)
    // of a trial that another one interrupts, what was proven before stays
    if (current !== undefined && current.id !== certificateId && (await this.previous()) === undefined) {
      await this.#files.link(this.#path('previous'), join('versions', current.id))
    }
    await this.#files.link(this.#path('current'), join('versions', certificateId))
  }

  async settle(kept: 'new' | 'previous'): Promise<void> {
    if (kept === 'previous') await this.#goBack()
    await this.#files.remove(this.#path('previous'))
    await this.#removeUnused()
  }

  async #goBack(): Promise<void> {
    const previous = await this.previous()
    if (previous !== undefined) {
      await this.#files.link(this.#path('current'), join('versions', previous.id))
      return
    }
    const pending = await this.pending()
    const currentId = await linkedName(this.#path('current'))
    if (pending === undefined || pending.step === 'key' || pending.certificateId !== currentId) return
    await this.#files.remove(this.#path('current'))
  }

  async #removeUnused(): Promise<void> {
    const used = await linkedName(this.#path('current'))
    const names = await namesIn(this.#path('versions'))
    for (const each of names) if (each !== used) await this.#files.remove(this.#path('versions', each))
    await removeUnfinished(this.#options.folder)
  }

  async #stored(link: 'current' | 'previous'): Promise<StoredIdentity | undefined> {
    return await readStoredIdentity(this.#path(link), (why) => {
      this.#options.log.error('a stored identity cannot be used', { link, why })
    })
  }

  async #pendingText(name: string): Promise<string> {
    const path = this.#path('pending', name)
    return await readFile(path, 'utf8').catch((cause: unknown) => {
      if (errorCode(cause) === 'ENOENT') return ''
      throw new AgentError(`${path} cannot be read at the moment`, { retryable: true, cause })
    })
  }

  #path(...names: readonly string[]): string {
    return join(this.#options.folder, ...names)
  }
}

/** None where there is no such folder. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return []
    throw new AgentError(`${folder} cannot be read at the moment`, { retryable: true, cause }) // or old keys would stay
  })
}

/** The name that a link leads to; undefined without a link. */
async function linkedName(link: string): Promise<string | undefined> {
  return await readlink(link).then(basename, (cause: unknown) => {
    if (errorCode(cause) === 'ENOENT') return undefined
    throw new AgentError(`${link} cannot be read at the moment`, { retryable: true, cause }) // or all would look unused
  })
}

const diskFiles: StoreFiles = {
  makeFolder: async (path) => {
    await makeFolder(path, 0o700)
  },
  write: async (path, content) => {
    await writeFileAtomic(path, content, { mode: 0o600 })
  },
  link: async (path, target) => {
    const temporary = join(dirname(path), `.${randomBytes(6).toString('hex')}.tmp`)
    await symlink(target, temporary)
    await renameDurably(temporary, path)
  },
  remove: async (path) => {
    await rm(path, { recursive: true, force: true })
    await syncFolder(dirname(path)).catch((error: unknown) => {
      if (errorCode(error) !== 'ENOENT') throw error // then nothing was there to remove
    })
  },
}
