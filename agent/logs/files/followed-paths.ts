import type { BigIntStats } from 'node:fs'
import { basename, dirname } from 'node:path'

import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { isSameFile } from './file-identity.ts'
import type { FollowedFile } from './followed-file.ts'
import { FollowedPath, type FollowedPathDeps } from './followed-path.ts'
import { globFiles, matchesGlob } from './glob-files.ts'
import type { LogCursor } from '../log-cursors.ts'
import type { SourcePattern } from '../log-targets.ts'
import { isCompressedName, isRotatedName } from './rotated-files.ts'

export interface FollowedPathsDeps extends Pick<FollowedPathDeps, 'onGap' | 'cloudNow'> {
  /** The first that chooses a path says where its lines go. */
  readonly patterns: readonly SourcePattern[]
  /** Where to go on. */
  readonly cursors: readonly LogCursor[]
}

const discoverEveryMs = 10_000
const maxPaths = 1_000

/** The paths that the patterns lead to, as they appear and go. */
export class FollowedPaths implements AsyncDisposable {
  readonly #deps: FollowedPathsDeps
  readonly #paths = new Map<string, FollowedPath>()
  /** Of files that rotation gave another name, until a pattern finds them under it. */
  #settled: readonly { readonly cursor: LogCursor; readonly atMs: number }[] = []
  /** Of paths that no pattern leads to any more: the next configuration, or the last one, may lead there again. */
  #unclaimed: readonly LogCursor[] = []
  #unreadable: readonly { readonly what: string; readonly error: unknown }[] = []
  #discoveredAtMs = -Infinity
  /** By the device's clock. */
  #discoveredWallMs: number | undefined
  #turn = 0

  constructor(deps: FollowedPathsDeps) {
    this.#deps = deps
    this.#addKnown(deps.cursors)
  }

  get paths(): readonly FollowedPath[] {
    return [...this.#paths.values()]
  }

  get cursors(): readonly LogCursor[] {
    const ofPaths = this.paths.flatMap((path) => path.cursors)
    const found = new Set(ofPaths.map(fileKey))
    const settled = this.#settled.map(({ cursor }) => cursor).filter((cursor) => !found.has(fileKey(cursor)))
    return [...ofPaths, ...settled, ...this.#unclaimed]
  }

  /** Read, but waiting for line breaks. */
  get partialBytes(): number {
    return this.paths.reduce((sum, { files }) => sum + files.reduce((of, file) => of + file.partialBytes, 0), 0)
  }

  /** Looks for new files every 10 s. */
  async discover(): Promise<void> {
    if (monotonicMs() - this.#discoveredAtMs < discoverEveryMs) return
    const results = await Promise.all(
      this.#deps.patterns.map(async (source) => ({ source, ...(await globFiles(source.pattern)) })),
    )
    const chosen = results.map(({ source, paths }) => ({ source, paths: chosenOf(source, paths) }))
    // The paths found last time have been looked at since, so what is older than that is claimed or out of reach.
    this.#settled = this.#settled.filter(({ atMs }) => atMs > this.#discoveredAtMs)
    this.#discoveredAtMs = monotonicMs()
    const found = new Set(chosen.flatMap(({ paths }) => paths))
    this.#unreadable = results.flatMap(({ unreadable }) =>
      unreadable.map(({ path, error }) => ({ what: `folder ${path}`, error })),
    )
    for (const path of this.paths) if (path.isOver && !found.has(path.path)) this.#paths.delete(path.path)
    for (const { source, paths } of chosen) for (const path of paths) this.#add(path, source, [])
    this.#discoveredWallMs = Date.now()
  }

  /** All paths, each time starting with another one; new ones come last, for they may be copies of the others. */
  nextTurn(): readonly FollowedPath[] {
    const { paths } = this
    this.#turn = (this.#turn + 1) % Math.max(1, paths.length)
    const turn = [...paths.slice(this.#turn), ...paths.slice(0, this.#turn)]
    return [...turn.filter(({ isKnown }) => isKnown), ...turn.filter(({ isKnown }) => !isKnown)]
  }

  /** Forgets files that were ended and accepted, but for those that a pattern finds again. */
  forgetSettled(): void {
    const atMs = monotonicMs()
    const settled = this.paths.flatMap((path) => path.takeSettled()).map((cursor) => ({ cursor, atMs }))
    if (settled.length > 0) this.#settled = [...this.#settled, ...settled].slice(-maxPaths)
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    const failed = this.paths.filter(({ lastError }) => lastError !== undefined)
    const unreadable = this.paths.flatMap((path) => path.unreadable)
    return [
      ...failed.map(({ path, lastError }) => ({ what: path, error: lastError })),
      ...unreadable.map(({ location, error }) => ({ what: location, error })),
      ...this.#unreadable,
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.paths) await path[Symbol.asyncDispose]()
  }

  /** Paths with cursors come first: a rotated file is then taken up by the path that it was written at. */
  #addKnown(cursors: readonly LogCursor[]): void {
    for (const [path, ofPath] of Map.groupBy(cursors, (cursor) => cursor.path)) {
      const source = this.#deps.patterns.find(
        (source) => matchesGlob(source.pattern, path) && chosenOf(source, [path]).length > 0,
      )
      if (source !== undefined) this.#add(path, source, ofPath)
      else this.#unclaimed = [...this.#unclaimed, ...ofPath].slice(-maxPaths)
    }
  }

  #add(path: string, { targetOf, format }: SourcePattern, cursors: readonly LogCursor[]): void {
    if (this.#paths.has(path)) return
    if (this.#paths.size >= maxPaths) {
      const error = new AgentError(`more than ${maxPaths} log files`, { hint: 'narrow the paths in logs.sources' })
      this.#unreadable = [...this.#unreadable.slice(0, 10), { what: path, error }]
      return
    }
    const { onGap, cloudNow } = this.#deps
    this.#paths.set(
      path,
      new FollowedPath({
        path,
        target: targetOf(path),
        format,
        cursors,
        ...(this.#discoveredWallMs === undefined ? {} : { absentAtMs: this.#discoveredWallMs }),
        cursorOf: (stats) => this.#settled.find(({ cursor }) => isSameFile(stats, cursor))?.cursor,
        isFollowed: (stats) => this.#isFollowed(stats),
        isAwaited: (stats) => this.paths.some((other) => other.path !== path && other.awaits(stats)),
        originals: () => this.#originals(path),
        onGap,
        cloudNow,
      }),
    )
  }

  #originals(copy: string): readonly FollowedFile[] {
    return this.paths
      .filter(({ path }) => dirname(path) === dirname(copy) && isRotatedName(basename(path), basename(copy)))
      .flatMap(({ files }) => files)
  }

  #isFollowed(stats: BigIntStats): boolean {
    return this.paths.some(({ files }) => files.some((file) => file.owns(stats)))
  }
}

function fileKey({ fileId, bornMs = 0 }: LogCursor): string {
  return `${fileId} ${bornMs}`
}

function chosenOf({ choose }: SourcePattern, paths: readonly string[]): readonly string[] {
  return choose(paths.filter((path) => !isCompressedName(path)))
}
