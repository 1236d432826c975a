import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
  type Stats,
} from 'node:fs'

import type { Outcome } from './outcome.ts'
import { discard, FolderHandle, type Clearing } from './folder-handle.ts'
import type { Owner } from './trusted-list.ts'

export interface RequestFoldersOptions {
  /** `/run/panorama-agent`: the agent's, with `requests/` and `answers/` in it. Whoever owns it is the agent. */
  readonly runtimeFolder: string
  /** `/run/panorama-agent-root`: root's alone, on the same file system. */
  readonly workFolder: string
  readonly owner: Owner
  /** How many entries one run may clear away. Default 10,000, which takes less than a second. */
  readonly maxCleared?: number
}

/** What systemd's glob matches, and what it does not see for a dot in front. */
const suffix = '.json'
const maxWaiting = 256
const maxLeftovers = 1_000
const defaultMaxCleared = 10_000

/**
 * The agent's folders, as root may use them: the agent owns them, so everything in them, and they themselves, may be
 * anything at any time. Every path ends at a name that is not followed, in a folder that is held open.
 */
export class RequestFolders implements Disposable {
  readonly #runtime: FolderHandle
  readonly #work: FolderHandle
  readonly #agent: Stats
  readonly #clearing: Clearing

  /** Throws when the folders are not there, or the work folder is not root's alone. */
  constructor({ runtimeFolder, workFolder, owner, maxCleared = defaultMaxCleared }: RequestFoldersOptions) {
    this.#work = openWorkFolder(workFolder, owner)
    this.#runtime = new FolderHandle(runtimeFolder)
    this.#agent = this.#runtime.stat()
    this.#clearing = { entriesLeft: maxCleared, top: this.#work }
    this.#clear()
  }

  get agentUid(): number {
    return this.#agent.uid
  }

  /** What waits, oldest first, and not more than 256. A `requests` that is no folder of the agent's is moved away. */
  waiting(): readonly Buffer[] {
    using requests = this.#open('requests')
    if (requests === undefined) return []
    const names = requests.names(maxWaiting, (name) => name.toString('latin1').endsWith(suffix))
    const dated = names.map((name) => ({ name, ms: modifiedMs(requests.at(name)) }))
    return dated.toSorted((a, b) => a.ms - b.ms).map(({ name }) => name)
  }

  /**
   * Moves an entry, whatever it is, out of the agent's reach, and removes what cannot be moved. Answers where it is now;
   * `gone` when there was nothing any more, `removed` and `stuck` when it could not be moved.
   */
  take(name: Buffer): TakenEntry | 'gone' | 'removed' | 'stuck' {
    using requests = this.#open('requests')
    if (requests === undefined) return 'gone'
    const taken = `taken-${randomBytes(8).toString('hex')}`
    const path = this.#work.at(taken)
    try {
      renameSync(requests.at(name), path)
    } catch (error) {
      return isMissing(error) ? 'gone' : remove(requests.at(name))
    }
    return {
      path,
      [Symbol.dispose]: () => {
        discard(this.#work, taken, this.#clearing)
      },
    }
  }

  /** Makes the answer where the agent cannot touch it, gives it away, and moves it to the agent as a whole. */
  answer(id: string, outcome: Outcome): void {
    using answers = this.#agentsOwn('answers')
    const made = `answer-${randomBytes(8).toString('hex')}`
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
    const file = openSync(this.#work.at(made), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    try {
      writeSync(file, `${JSON.stringify({ result: outcome.result, code: outcome.code })}\n`)
      fchownSync(file, this.#agent.uid, this.#agent.gid)
      fchmodSync(file, 0o600)
      renameSync(this.#work.at(made), answers.at(`${id}${suffix}`))
    } catch (error) {
      discard(this.#work, made, this.#clearing)
      throw error
    } finally {
      closeSync(file)
    }
  }

  [Symbol.dispose](): void {
    this.#runtime[Symbol.dispose]()
    this.#work[Symbol.dispose]()
  }

  /** Removes what runs before have left: they were cut off, or it was more than one may remove. */
  #clear(): void {
    while (this.#clearing.entriesLeft > 0) {
      const leftovers = this.#work.names(maxLeftovers)
      if (leftovers.length === 0) return
      for (const name of leftovers) discard(this.#work, name, this.#clearing)
    }
  }

  #open(name: string): FolderHandle | undefined {
    const path = this.#runtime.at(name)
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) return undefined
    if (found.isDirectory()) return this.#agentsOwn(name)
    // a symlink would let the glob match, for ever, what lies elsewhere; the agent makes its folder anew
    unlinkSync(path)
    return undefined
  }

  #agentsOwn(name: string): FolderHandle {
    const folder = new FolderHandle(this.#runtime.at(name))
    if (folder.stat().uid === this.#agent.uid) return folder
    folder[Symbol.dispose]()
    throw new Error(`the folder ${name} is not the agent's`)
  }
}

/** An entry in the work folder, until it is disposed of. */
export interface TakenEntry extends Disposable {
  readonly path: Buffer
}

function openWorkFolder(path: string, owner: Owner): FolderHandle {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) mkdirSync(path, { mode: 0o700 })
  const folder = new FolderHandle(path)
  const { uid, mode } = folder.stat()
  if (uid === owner.uid && (mode & 0o077) === 0) return folder
  folder[Symbol.dispose]()
  throw new Error(`${path} has to be root's alone`)
}

function modifiedMs(path: Buffer): number {
  return lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** The agent may have withdrawn it. */
function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** For what cannot be moved, such as to another file system. */
function remove(path: Buffer): 'removed' | 'stuck' {
  try {
    unlinkSync(path)
  } catch {
    // told below by what is left
  }
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? 'removed' : 'stuck'
}
