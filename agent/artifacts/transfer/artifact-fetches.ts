import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

import type { Backoff } from '../../lib/backoff.ts'
import { forEachConcurrent } from '../../lib/for-each-concurrent.ts'
import type { Log } from '../../lib/log.ts'
import type { ArtifactIndex } from '../artifact-index.ts'
import type { Plan } from '../artifact-plan.ts'
import type { ArtifactSource } from '../artifact-source.ts'
import type { ArtifactProgress } from '../artifact-status.ts'
import { CommitQueue } from './commit-queue.ts'
import type { ContentStore } from '../content-store.ts'
import { FetchProgress } from './fetch-progress.ts'
import { checkFreeSpace } from '../free-space.ts'
import { HeldChecksums } from './held-checksums.ts'
import { fetchLargeObject, learnEtag, type LargeFetchPass } from './large-object.ts'
import type { ObjectSizes } from './part-plan.ts'
import { collectPartials, partialId } from './partial-file.ts'
import { WrongContentError, type ReceivedObject } from './received-object.ts'
import { fetchSmallObject } from './small-object.ts'
import type { TransferLane } from './transfers.ts'
import type { WantedFile } from '../release/wanted-release.ts'
import { WrongContents } from './wrong-contents.ts'

export interface ArtifactFetchesDeps {
  readonly source: ArtifactSource
  readonly store: ContentStore
  /** The artifact's own. */
  readonly folder: string
  /** Where files in the making go. */
  readonly incoming: string
  readonly log: Log
  readonly lane: TransferLane
  /** How many small objects are fetched at a time, where memory and connections allow. */
  readonly concurrency: number
  readonly idleTimeoutMs: number
  /** Between the tries of one request. */
  readonly backoff: Backoff
  readonly sizes: ObjectSizes
}

export interface SyncPass {
  readonly index: ArtifactIndex
  readonly signal: AbortSignal
  readonly beat: () => void
  /** Whether a person asked for it, and still wants it: windows do not count then, but the bytes of the month do. */
  readonly isAtOnce: () => boolean
}

interface Fetching extends SyncPass {
  readonly progress: FetchProgress
  readonly queue: CommitQueue
}

/** Brings what a plan asks for into the store, and knows how far that is. Calls of `fetchAll` must not overlap. */
export class ArtifactFetches {
  readonly #deps: ArtifactFetchesDeps
  readonly #partials: string
  readonly #checksums: HeldChecksums
  #wrong: WrongContents | undefined
  #progress: FetchProgress | undefined
  #fetchedFiles = 0
  #fetchedBytes = 0

  constructor(deps: ArtifactFetchesDeps) {
    this.#deps = deps
    this.#partials = join(deps.folder, 'partial')
    this.#checksums = new HeldChecksums(deps)
  }

  /** While `fetchAll` runs. */
  get progress(): ArtifactProgress | undefined {
    return this.#progress?.read()
  }

  /** Since the start of the process, fetches that failed included in the bytes. */
  get totals(): { readonly fetchedFiles: number; readonly fetchedBytes: number } {
    return { fetchedFiles: this.#fetchedFiles, fetchedBytes: this.#fetchedBytes }
  }

  /** Removes what is left of fetches of anything else. To be called at each pass. */
  async collect(fetches: readonly WantedFile[]): Promise<void> {
    const wanted = new Set(fetches.map(partialId))
    await collectPartials(this.#partials, (id) => wanted.has(id))
  }

  /**
   * Fetches everything in the plan, and answers 0; or how long it has to wait for a download window, with perhaps a part of
   * it fetched. Throws the first failure, after what runs has ended; what was fetched by then stays in the store, and the
   * index knows it.
   */
  async fetchAll({ fetches }: Plan, pass: SyncPass): Promise<number> {
    const wrong = (this.#wrong ??= await WrongContents.load(this.#deps.folder, this.#deps.log))
    if (pass.isAtOnce()) await wrong.forgetOld()
    for (const wanted of fetches) {
      const error = wrong.errorOf(wanted)
      if (error !== undefined) throw error
    }
    const waitMs = this.#msUntilOpen(pass)
    if (waitMs > 0) return waitMs
    await this.#checkSuspects(fetches, wrong, pass)
    await this.#checkSpace(await this.missingBytes(fetches))
    const progress = new FetchProgress(fetches, this.#deps.log)
    this.#progress = progress
    const queue = this.#createQueue(pass.index)
    try {
      await this.#fetchEach(fetches, { ...pass, progress, queue })
    } catch (error) {
      if (!(error instanceof WindowClosed)) throw error
      return Math.max(1, this.#msUntilOpen(pass))
    } finally {
      this.#progress = undefined
      await queue.settle().finally(() => pass.index.save())
    }
    await wrong.clear()
    return 0
  }

  /** Costs one byte for each object that was wrong when its version was looked at last. */
  async #checkSuspects(
    fetches: readonly WantedFile[],
    wrong: WrongContents,
    { signal, beat }: SyncPass,
  ): Promise<void> {
    for (const wanted of fetches) {
      const suspect = wrong.suspectOf(wanted)
      if (suspect === undefined || wanted.object.sizeBytes === 0) continue
      const etag = await learnEtag(wanted.object, this.#deps, { signal, beat, onBytes: () => undefined })
      beat()
      if (etag !== suspect.etag) continue
      wrong.confirm(wanted, suspect)
      throw suspect.error
    }
  }

  /** Large objects one after the other, as their parts go side by side, and small ones meanwhile. */
  async #fetchEach(fetches: readonly WantedFile[], fetching: Fetching): Promise<void> {
    const { sizes, concurrency, lane } = this.#deps
    const isLarge = ({ object }: WantedFile): boolean => object.sizeBytes > sizes.largeObjectBytes
    let hasFailed = false
    const run = async (files: readonly WantedFile[], limit: number): Promise<void> => {
      await forEachConcurrent(files, limit, async (wanted) => {
        if (hasFailed) return
        try {
          if (!isLarge(wanted)) {
            using _ = await lane.hold(wanted.object.sizeBytes, fetching.signal)
            await this.#fetch(wanted, fetching)
          } else await this.#fetch(wanted, fetching)
        } catch (error) {
          hasFailed = true
          throw error
        }
      })
    }
    const small = fetches.filter((wanted) => !isLarge(wanted))
    const ended = await Promise.allSettled([run(fetches.filter(isLarge), 1), run(small, concurrency)])
    for (const end of ended) if (end.status === 'rejected') throw end.reason
  }

  async #fetch(wanted: WantedFile, fetching: Fetching): Promise<void> {
    this.#checkWindow(fetching)
    try {
      await fetching.queue.add(await this.#receive(wanted, fetching))
    } catch (error) {
      if (error instanceof WrongContentError) await this.#wrong?.note(wanted, error)
      throw error
    }
    this.#fetchedFiles += 1
    fetching.progress.countFile()
    fetching.beat()
  }

  async #receive(wanted: WantedFile, fetching: Fetching): Promise<ReceivedObject> {
    const { signal, beat, progress } = fetching
    const { sizes } = this.#deps
    const pass: LargeFetchPass = {
      signal,
      beat,
      onBytes: (bytes) => {
        this.#fetchedBytes += bytes
        progress.countFetched(bytes)
        beat()
      },
      onResumed: (bytes) => {
        progress.countResumed(bytes)
        beat()
      },
      beforePart: async (bytes) => {
        this.#checkWindow(fetching)
        await this.#checkSpace(bytes)
      },
    }
    const deps = { ...this.#deps, partials: this.#partials, partBytes: sizes.partBytes, checksums: this.#checksums }
    const isLarge = wanted.object.sizeBytes > sizes.largeObjectBytes
    return await (isLarge ? fetchLargeObject(wanted, deps, pass) : fetchSmallObject(wanted, deps, pass))
  }

  #createQueue(index: ArtifactIndex): CommitQueue {
    return new CommitQueue({
      store: this.#deps.store,
      index,
      beforeBatch: () => this.#checkSpace(0),
      onCommitted: (objects) => {
        for (const { wanted } of objects) {
          this.#deps.log.debug('object fetched', { key: wanted.object.key, bytes: wanted.object.sizeBytes })
        }
      },
    })
  }

  #msUntilOpen({ isAtOnce }: SyncPass): number {
    return this.#deps.lane.transfers.msUntilOpen(isAtOnce())
  }

  #checkWindow(pass: SyncPass): void {
    if (this.#msUntilOpen(pass) > 0) throw new WindowClosed()
  }

  async #checkSpace(neededBytes: number): Promise<void> {
    const { folder, lane } = this.#deps
    await checkFreeSpace({ folder, neededBytes, minFreeBytes: lane.transfers.limits.minFreeBytes })
  }

  /** What is to be fetched, without what partials hold already. */
  async missingBytes(fetches: readonly WantedFile[]): Promise<number> {
    const names = await readdir(this.#partials).catch(() => [])
    const sizes = names.map(async (name) => (await stat(join(this.#partials, name))).blocks * blockBytes)
    const held = (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0)
    return Math.max(0, fetches.reduce((sum, { object }) => sum + object.sizeBytes, 0) - held)
  }
}

/** As stat(2) counts them. */
const blockBytes = 512

/** Not a failure: what is left waits for the next window. */
class WindowClosed extends Error {}
