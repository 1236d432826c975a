import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { isTrustedFolder, type Owner } from '../trusted-list.ts'
import { isNoSpace, moveDurably, readObject, removeDurably, syncEntry, writeDurably } from './durable.ts'
import type { Trial } from './trial.ts'

/** What the agent reads of the last update that has ended, in `last-update.json`. */
export interface LastUpdate extends Pick<Trial, 'version' | 'id' | 'from' | 'to' | 'outcome' | 'reason'> {
  /** By the clock of the appliance, in UTC. */
  readonly endedAt: string
}

/** Of all documents here: see "Documents between versions" in ARCHITECTURE.md. It stays, and so does what each field means. */
const documentVersion = 1

const phases: readonly Trial['phase'][] = ['installing', 'watching', 'reverting', 'ended']
const outcomes: readonly Trial['outcome'][] = ['confirmed', 'rolled-back', 'stuck']

/** There while the runner of a trial is to be started: panorama-agent-request.path starts whoever sees to that. */
export function startingIn(folder: string): string {
  return join(folder, 'starting')
}

/**
 * `/var/lib/panorama-agent-update`: root's own. In it are `installed.deb`, the package that is installed; during a trial
 * `candidate.deb`, `previous.deb` and `trial.json`; and `last-update.json`. Others may read the two documents.
 */
export class UpdateFolder {
  readonly path: string
  /** Empty but while a release is taken in. */
  readonly incoming: string
  readonly installed: string
  readonly candidate: string
  readonly previous: string
  /** What runs the trial: a copy, because the package is replaced meanwhile. */
  readonly program: string
  readonly #trial: string
  readonly #confirmed: string
  readonly #last: string
  readonly #starting: string

  /** Makes the folder where it is not there. Throws when it is not the owner's alone to write. */
  constructor(path: string, owner: Owner) {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
      mkdirSync(path)
      chmodSync(path, 0o755) // whatever the umask
    }
    if (!isTrustedFolder(path, owner)) throw new Error(`${path} has to be root's alone to write`)
    this.path = path
    this.incoming = join(path, 'incoming')
    this.installed = join(path, 'installed.deb')
    this.candidate = join(path, 'candidate.deb')
    this.previous = join(path, 'previous.deb')
    this.program = join(path, 'program')
    this.#trial = join(path, 'trial.json')
    this.#confirmed = join(path, 'confirmed')
    this.#last = join(path, 'last-update.json')
    this.#starting = startingIn(path)
  }

  /** Empties the place for what comes from the agent. */
  clearIncoming(): void {
    rmSync(this.incoming, { recursive: true, force: true })
    mkdirSync(this.incoming, { mode: 0o700 })
  }

  /** Puts a verified package and the way back in place: nothing of this counts before there is a trial. */
  stage(verified: string): void {
    rmSync(this.#confirmed, { force: true })
    rmSync(this.previous, { force: true })
    linkSync(this.installed, this.previous)
    moveDurably(verified, this.candidate)
    syncEntry(this.path)
  }

  /** From now on somebody has to start the runner, whatever becomes of this process. Before there is a trial. */
  startIsDue(): void {
    writeDurably(this.#starting, '')
  }

  startIsMade(): void {
    removeDurably(this.#starting)
  }

  /** Undefined while there is none, or none that this version understands. */
  trial(): Trial | undefined {
    const { version, id, from, to, confirmSeconds, phase, begun, outcome, reason } = readObject(this.#trial) ?? {}
    const known = phases.find((each) => each === phase)
    if (version !== documentVersion || typeof id !== 'string') return undefined
    if (typeof from !== 'string' || typeof to !== 'string' || known === undefined) return undefined
    const end = outcomes.find((each) => each === outcome)
    return {
      version: 1,
      id,
      from,
      to,
      confirmSeconds: typeof confirmSeconds === 'number' ? confirmSeconds : 600,
      phase: known,
      begun: typeof begun === 'number' ? begun : 1,
      ...(end === undefined ? {} : { outcome: end }),
      ...(typeof reason === 'string' ? { reason } : {}),
    }
  }

  /** Whether another version than this one has an update on trial. */
  hasOtherTrial(): boolean {
    const found = readObject(this.#trial)
    return typeof found?.['id'] === 'string' && this.trial() === undefined
  }

  /**
   * `confirmByUptimeMs` is until when it has to be confirmed, on the clock that counts from the boot (CLOCK_MONOTONIC). On a full
   * disk the package that is given up makes room for the way back.
   */
  save(trial: Trial, confirmByUptimeMs?: number): void {
    const text = `${JSON.stringify({ ...trial, confirmByUptimeMs })}\n`
    try {
      writeDurably(this.#trial, text)
    } catch (error) {
      if (trial.phase !== 'reverting' || !isNoSpace(error)) throw error
      removeDurably(this.candidate)
      writeDurably(this.#trial, text)
    }
  }

  /** The new version has confirmed itself; who runs the trial, of the version before, looks for it. */
  confirm({ id }: Trial): void {
    writeDurably(this.#confirmed, `${JSON.stringify({ version: documentVersion, id })}\n`)
  }

  /** By the id alone: it is a version that is not known yet which wrote this. */
  isConfirmed({ id }: Trial): boolean {
    return readObject(this.#confirmed)?.['id'] === id
  }

  lastId(): unknown {
    return readObject(this.#last)?.['id']
  }

  /** Ends a trial for the agent to see. May be cut off anywhere, and done again. */
  settle({ version, id, from, to, outcome, reason }: Trial, nowMs: number): void {
    const isNew = outcome === 'confirmed'
    const kept = isNew ? this.candidate : this.previous
    // what is there is the version before, or one that somebody has installed meanwhile
    if (existsSync(kept) && (isNew || !existsSync(this.installed))) moveDurably(kept, this.installed)
    removeDurably(isNew ? this.previous : this.candidate)
    const last: LastUpdate = {
      version,
      id,
      from,
      to,
      ...(outcome === undefined ? {} : { outcome }),
      ...(reason === undefined ? {} : { reason }),
      endedAt: new Date(nowMs).toISOString(),
    }
    writeDurably(this.#last, `${JSON.stringify(last)}\n`)
    this.abandon()
  }

  /** Forgets what is under way. */
  abandon(): void {
    removeDurably(this.#confirmed)
    removeDurably(this.#trial)
    removeDurably(this.#starting)
    for (const path of [this.incoming, this.candidate, this.previous]) rmSync(path, { recursive: true, force: true })
  }
}
