import { join } from 'node:path'

import { linkedAbort } from '../../lib/abort.ts'
import type { AgentError } from '../../lib/errors.ts'
import { readJsonState, writeJsonState } from '../../lib/json-state.ts'
import type { Log } from '../../lib/log.ts'
import { OneAtATime } from '../../lib/one-at-a-time.ts'
import {
  activationFile,
  emptyActivation,
  installing,
  isInDoubt,
  isQuarantined,
  judged,
  nextMove,
  wentTo,
  whyNotInstall,
  withWish,
  without,
  type ActivationState,
  type Gate,
  type OnDisk,
  type Quarantined,
} from './activation-state.ts'
import { cannotMend, unhealthy } from './activation-faults.ts'
import { activationStatus, type ActivationStatus } from './activation-status.ts'
import { contentKey, type Release } from '../artifact-plan.ts'
import type { ContentStore } from '../content-store.ts'
import { askHealth, lookAt, type Health } from './health-gate.ts'
import type { HookRunner } from './hook-runner.ts'
import { describeInstalled, type InstalledRelease } from '../release/installed-release.ts'
import type { ReleaseRecord, ReleaseTree } from '../release/release-tree.ts'
import { rollbackTarget } from './rollback-target.ts'

export interface ReleaseActivationDeps {
  readonly folder: string
  readonly tree: ReleaseTree
  readonly store: ContentStore
  readonly log: Log
  readonly keepReleases: number
  readonly health: Health | undefined
  readonly runHook: HookRunner
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** Ends when the pass does. */
export interface ActivationPass {
  readonly signal: AbortSignal
  readonly beat: () => void
}

/**
 * Says which release of an artifact is current: switches to new ones, asks whether they are healthy, goes back where
 * they are not, and remembers it all, whatever crashes in between. Its methods may be called while another one runs;
 * every switch is one of its own.
 */
export class ReleaseActivation {
  readonly #deps: ReleaseActivationDeps
  readonly #health: string | undefined
  /** Around everything that changes state, links or trees. Health is asked for without it. */
  readonly #turn = new OneAtATime()
  #state: ActivationState | undefined
  #installed: InstalledRelease | undefined
  #there: ReadonlySet<string> = new Set()
  #asking: AbortController | undefined

  constructor(deps: ReleaseActivationDeps) {
    this.#deps = deps
    this.#health = deps.health === undefined ? undefined : JSON.stringify(deps.health)
  }

  /** As of the last `open` or switch. */
  get installed(): InstalledRelease | undefined {
    return this.#installed
  }

  /** Whether the current tree is to be built anew from content that is fetched again. */
  get isDamaged(): boolean {
    return this.#stateNow.repair !== undefined && this.#stateNow.repair === this.#installed?.record.releaseId
  }

  /** To be called at the start of each pass: makes folders, removes what a crash left, looks what is there. */
  async open(): Promise<void> {
    await this.#turn.run(() => this.#open())
  }

  /** Ends what a crash, or the pass before, left open. Waits for the health of the current release if that is. */
  async settle(pass: ActivationPass): Promise<void> {
    for (;;) {
      const gate = await this.#turn.run(async () => await this.#move())
      if (gate === undefined) return
      await this.#ask(gate, pass)
    }
  }

  /** Hears what the source wishes; answers why it is not to be installed, or undefined when it is. */
  async consider(wishId: string): Promise<'held' | Quarantined | undefined> {
    return await this.#turn.run(async () => {
      await this.#save(withWish(this.#stateNow, wishId))
      return whyNotInstall(this.#stateNow, this.#onDisk)
    })
  }

  /** Whether that is what the source wished when it was asked last, and is not to be installed. */
  refuses(wishId: string): boolean {
    const state = this.#stateNow
    return state.wishId === wishId && whyNotInstall(state, this.#onDisk) !== undefined
  }

  /** Whether the current release was not healthy, and another try of it is due under that wish. */
  isInDoubt(wishId: string): boolean {
    return isInDoubt({ ...this.#stateNow, wishId }, this.#onDisk)
  }

  /**
   * Switches to a release whose content is stored, unless an operator went elsewhere meanwhile, and settles. Throws
   * the signal's reason when it aborts before the switch; on abort after it, health is asked for by the next `settle`.
   */
  async install(release: Release, wishId: string, pass: ActivationPass): Promise<void> {
    const { tree, store, log } = this.#deps
    const { releaseId } = release
    await this.#turn.run(async () => {
      pass.signal.throwIfAborted()
      if (whyNotInstall(this.#stateNow, this.#onDisk) !== undefined) return
      const previous = await tree.currentId()
      const anew = this.#stateNow.repair === releaseId
      const isSwitch = previous !== releaseId
      const isTry = isSwitch || this.isInDoubt(wishId)
      const opened = { releaseId, previous: isSwitch ? previous : undefined, wishId }
      if (isTry) await this.#save(installing(this.#stateNow, { releaseId, gate: await this.#gateFor(opened) }))
      if (isTry && !isSwitch && !anew) return
      await tree.install(release, { store, signal: pass.signal, anew })
      if (anew) await this.#save(without(this.#stateNow, 'repair'))
      await this.#look()
      log.info(isSwitch ? 'release installed' : 'release mended', {
        releaseId,
        files: release.files.length,
        bytes: this.#installed?.bytes,
      })
    })
    pass.beat()
    await this.settle(pass)
  }

  /**
   * Makes a kept release current, `to` or else the one before, and stays there until the source wishes something else.
   * An open question about health is dropped. Throws an AgentError when there is no such release, and the reason of `signal` where
   * that aborts before it is decided; then it is done, whoever gives up.
   */
  async rollBack(to: string | undefined, signal?: AbortSignal): Promise<void> {
    await this.#turn.run(async () => {
      if (this.#state === undefined) await this.#open()
      signal?.throwIfAborted()
      const from = this.#installed?.record.releaseId
      const target = rollbackTarget(this.#installed, to)
      await this.#save(wentTo(this.#stateNow, target))
      this.#asking?.abort()
      await this.#move()
      this.#deps.log.info('release changed by an operator', { from, releaseId: target })
    })
  }

  /**
   * Drops stored content that is damaged, and every kept release with it but the current one, which `install` mends:
   * that need not be the one in which it was found, but may have the same files.
   */
  async drop(damaged: ReadonlySet<string>): Promise<void> {
    const { store, tree } = this.#deps
    await this.#turn.run(async () => {
      await store.collect((key) => !damaged.has(key))
      const records = await tree.list()
      const isWhole = ({ files }: ReleaseRecord): boolean => !files.some((file) => damaged.has(contentKey(file)))
      await tree.collect(records.filter(isWhole).map(({ releaseId }) => releaseId))
      const currentId = await tree.currentId()
      const current = records.find(({ releaseId }) => releaseId === currentId)
      if (current !== undefined && !isWhole(current)) await this.#save({ ...this.#stateNow, repair: current.releaseId })
      await this.#look()
    })
  }

  /** Removes the releases that are not to be kept, or all but the current one. */
  async collect({ keepOthers }: { readonly keepOthers: boolean }): Promise<void> {
    await this.#turn.run(async () => {
      if (this.#installed === undefined) return
      const others = keepOthers ? this.#installed.others : []
      await this.#deps.tree.collect(others.map(({ releaseId }) => releaseId))
      if (this.#there.size > others.length + 1) await this.#look()
    })
  }

  /** What keeps the release that the source wishes from being current, if that is no person's wish. */
  fault(): AgentError | undefined {
    const why = whyNotInstall(this.#stateNow, this.#onDisk)
    if (this.isDamaged && why !== undefined) return cannotMend()
    return why === undefined || why === 'held' ? undefined : unhealthy(why, this.#installed?.record.releaseId)
  }

  status(): ActivationStatus {
    return activationStatus(this.#stateNow, this.#installed?.record.releaseId)
  }

  get #stateNow(): ActivationState {
    return this.#state ?? emptyActivation
  }

  get #onDisk(): OnDisk {
    const there = this.#there
    return { currentId: this.#installed?.record.releaseId, has: (id) => there.has(id), health: this.#health }
  }

  get #path(): string {
    return join(this.#deps.folder, 'activation.json')
  }

  async #open(): Promise<void> {
    const { tree, log } = this.#deps
    await tree.prepare()
    this.#state ??=
      (await readJsonState({ path: this.#path, log, parse: (json) => activationFile.parse(json) })) ?? emptyActivation
    if ((await tree.currentId()) !== this.#installed?.record.releaseId || this.#installed === undefined) {
      await this.#look()
    }
  }

  async #save(state: ActivationState): Promise<void> {
    if (state === this.#state) return
    await writeJsonState(this.#path, state)
    this.#state = state
  }

  async #look(): Promise<void> {
    const { tree, keepReleases } = this.#deps
    const currentId = await tree.currentId()
    const records = await tree.list()
    const keep = {
      releases: keepReleases,
      isUnwanted: (id: string) => isQuarantined(this.#stateNow, id) || this.#stateNow.repair === id,
    }
    this.#there = new Set(records.map(({ releaseId }) => releaseId))
    this.#installed = currentId === undefined ? undefined : describeInstalled(currentId, records, keep)
  }

  /** Answers the gate that has to be asked, once nothing else is to be done. */
  async #move(): Promise<Gate | undefined> {
    const move = nextMove(this.#stateNow, this.#onDisk)
    switch (move.kind) {
      case 'none':
        return undefined
      case 'ask':
        return move.gate
      case 'drop-gate':
        await this.#save(without(this.#stateNow, 'gate'))
        return undefined
      case 'switch':
        await this.#look()
        if (this.#there.has(move.to)) await this.#deps.tree.switchTo(move.to)
        await this.#look()
        return undefined
    }
  }

  async #ask(gate: Gate, { signal, beat }: ActivationPass): Promise<void> {
    const { health, runHook, log } = this.#deps
    if (health === undefined) return
    log.info('asking whether the release is healthy', {
      releaseId: gate.releaseId,
      withinSeconds: health.withinSeconds,
    })
    using link = linkedAbort(signal)
    this.#asking = link.controller
    try {
      const verdict = await askHealth({ health, seen: gate.seen, runHook, signal: link.controller.signal, beat })
      await this.#turn.run(async () => {
        if (this.#stateNow.gate?.releaseId !== gate.releaseId) return // an operator went elsewhere
        const at = new Date(this.#deps.now()).toISOString()
        await this.#save(judged(this.#stateNow, { ...this.#onDisk, gate, verdict, at }))
        await this.#look()
        if (verdict.healthy) log.info('release is healthy', { releaseId: gate.releaseId })
        else this.#logUnhealthy(gate, verdict.why)
      })
    } catch (error) {
      if (signal.aborted || !link.controller.signal.aborted) throw error
    } finally {
      this.#asking = undefined
    }
  }

  #logUnhealthy({ releaseId }: Gate, why: string): void {
    const { goingTo } = this.#stateNow
    const text = goingTo === undefined ? 'release is not healthy and stays' : 'release is not healthy: going back'
    this.#deps.log.warn(text, { releaseId, ...(goingTo === undefined ? {} : { to: goingTo }), why })
  }

  async #gateFor(gate: Omit<Gate, 'seen'>): Promise<Gate | undefined> {
    const { health } = this.#deps
    if (health === undefined) return undefined
    return 'file' in health ? { ...gate, seen: await lookAt(health.file) } : gate
  }
}
