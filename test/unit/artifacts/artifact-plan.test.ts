import fc from 'fast-check'
import { join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'

import { contentKey, planRelease, type Plan } from '../../../agent/artifacts/artifact-plan.ts'
import { RefusedKeyError } from '../../../agent/artifacts/release/release-path.ts'
import { wantedFromListing, type WantedFile } from '../../../agent/artifacts/release/wanted-release.ts'
import { sha256 } from './artifact-fixture.ts'

const nothing = (): undefined => undefined
const everything = (): boolean => true
const never = (): boolean => false

describe('planning', () => {
  it('fetches what is not known', () => {
    const objects = [object('a'), object('b')]
    const plan = planRelease({
      files: objects,
      sha256Of: ({ object: { key } }) => known(key, 'a'),
      isStored: everything,
    })
    expect(keysOf(plan)).toEqual(['app/b'])
  })

  it('names the content that the release is known to hold, stored or not', () => {
    const objects = [object('a'), object('b'), object(`${sha256('x')}.tar.gz`)]
    const isStored = ({ sha256: hex }: { readonly sha256: string }): boolean => hex === sha256('a')
    const plan = planRelease({ files: objects, sha256Of: ({ object: { key } }) => known(key, 'a'), isStored })
    expect([...plan.contents]).toEqual([`${sha256('app/a')}-0444`, `${sha256('x')}-0444`])
  })

  it('fetches what is known but not stored any more', () => {
    const plan = planRelease({ files: [object('a')], sha256Of: ({ object: { key } }) => sha256(key), isStored: never })
    expect(keysOf(plan)).toEqual(['app/a'])
  })

  it('does not fetch an object whose name is the sha256 of stored content', () => {
    const objects = [object(`binaries/${sha256('x')}.tar.gz`), object(sha256('x')), object(`${sha256('x')}0`)]
    const plan = planRelease({ files: objects, sha256Of: nothing, isStored: everything })
    expect(keysOf(plan)).toEqual([`app/${sha256('x')}0`])
  })

  it('fetches content that several names promise once', () => {
    const objects = [object(`a/${sha256('x')}.json`), object(`b/${sha256('x')}.json`)]
    const plan = planRelease({ files: objects, sha256Of: nothing, isStored: never })
    expect(plan.fetches).toEqual([objects[0]])
    expect(plan.release(nothing).files.map((file) => file.sha256)).toEqual([sha256('x'), sha256('x')])
  })

  it('lists the files of a release by path, none of them executable', () => {
    const plan = planRelease({ files: [object('b'), object('a')], sha256Of: nothing, isStored: never })
    expect(plan.release(({ object: { key } }) => sha256(key)).files).toEqual([
      { path: 'a', sizeBytes: 1, sha256: sha256('app/a'), executable: false },
      { path: 'b', sizeBytes: 1, sha256: sha256('app/b'), executable: false },
    ])
  })

  it('plans a release without files for no objects', () => {
    const plan = planRelease({ files: [], sha256Of: nothing, isStored: never })
    expect(plan.fetches).toEqual([])
    expect(plan.release(nothing).files).toEqual([])
  })

  it('names a release by the paths and the content of its files', () => {
    const idOf = (...paths: readonly string[]): string =>
      planRelease({ files: paths.map((path) => object(path)), sha256Of: nothing, isStored: never }).release(
        ({ path }) => sha256(path.slice(0, 1)),
      ).releaseId
    expect(idOf('a', 'b')).toMatch(/^[0-9a-f]{64}$/)
    expect(new Set([idOf(), idOf('a'), idOf('a', 'b'), idOf('a', 'b1'), idOf('a1', 'b')]).size).toBe(5)
  })

  it('stores the same bytes under another key when they are executable', () => {
    const digest = sha256('x')
    expect(contentKey({ sha256: digest, executable: false })).toBe(`${digest}-0444`)
    expect(contentKey({ sha256: digest, executable: true })).toBe(`${digest}-0555`)
  })
})

describe('refusing', () => {
  it.each([
    [['a', 'a'], 'has the same path'],
    [['a/b', 'a'], '"app/a" cannot be a file of a release: "app/a/b" needs a folder of that name'],
    [['a', 'a/b/c'], '"app/a" cannot be a file of a release: "app/a/b/c" needs a folder of that name'],
    [['a/../b'], 'it has the path segment ".."'],
    [['..'], 'it has the path segment ".."'],
    [['a/./b'], 'it has the path segment "."'],
    [['/etc/passwd'], 'it is absolute'],
    [['a\0'], 'it holds a NUL'],
    [['\ud800'], 'it is not valid Unicode'],
    [[`a/${'ü'.repeat(128)}`], 'a path segment is longer than 255 bytes'],
  ])('says why %j cannot be installed', (paths, message) => {
    const objects = paths.map((path) => object(path))
    const attempt = (): Plan => planRelease({ files: objects, sha256Of: nothing, isStored: never })
    expect(attempt).toThrow(RefusedKeyError)
    expect(attempt).toThrow(message)
  })

  it('takes a segment of 255 bytes, and names that only look odd', () => {
    const paths = ['x'.repeat(255), '...', '..a', 'a b', '-rf', 'a:b', '~', 'ab/c', 'ab.d/e']
    const plan = planRelease({ files: paths.map((path) => object(path)), sha256Of: nothing, isStored: never })
    expect(plan.fetches).toHaveLength(paths.length)
  })
})

describe('properties', () => {
  const segment = fc.oneof(
    fc.constantFrom('a', 'b', 'c', '', '.', '..', '\0', sha256('x'), `${sha256('y')}.tar.gz`),
    fc.string({ maxLength: 4, unit: 'binary' }),
  )
  const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'))
  const hostileListing = fc.array(path, { maxLength: 6 }).map((paths) => paths.map((each) => object(each)))
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', sha256('x'), `${sha256('x')}.json`)
  const goodListing = fc
    .uniqueArray(fc.tuple(fc.constantFrom('p', 'q'), name).map((pair) => pair.join('/')))
    .map((paths) => paths.map((each) => object(each)))

  it('lets no path out of the folder, and never two files onto one', () => {
    fc.assert(
      fc.property(hostileListing, (objects) => {
        const files = filesOrRefusal(objects)
        const targets = files.map((file) => Buffer.from(join('/base', file)).toString())
        for (const target of targets) {
          expect(target.startsWith('/base/')).toBe(true)
          expect(normalize(target)).toBe(target)
          expect(targets.some((other) => other.startsWith(`${target}/`))).toBe(false)
        }
        expect(new Set(targets).size).toBe(targets.length)
      }),
      { numRuns: 1000 },
    )
  })

  it('answers a hostile listing with a plan or a RefusedKeyError, nothing else', () => {
    fc.assert(
      fc.property(hostileListing, (objects) => {
        expect(() => filesOrRefusal(objects)).not.toThrow()
      }),
    )
  })

  it('fetches each key once and each content once, and exactly what is not known and stored', () => {
    fc.assert(
      fc.property(goodListing, fc.func(fc.boolean()), fc.func(fc.boolean()), (objects, isKnown, isStored) => {
        const sha256Of = ({ object: { key } }: WantedFile): string | undefined =>
          isKnown(key) ? digestOf(key) : undefined
        const plan = planRelease({ files: objects, sha256Of, isStored: ({ sha256: hex }) => isStored(hex) })
        const keys = keysOf(plan)
        const digests = keys.map(digestOf)
        expect(new Set(keys).size).toBe(keys.length)
        expect(new Set(digests).size).toBe(digests.length)
        for (const key of keys) expect(isKnown(key) && isStored(digestOf(key))).toBe(false)
        for (const { sha256: hex } of plan.release(({ object: { key } }) => digestOf(key)).files) {
          expect(isStored(hex) || digests.includes(hex)).toBe(true)
        }
      }),
    )
  })

  it('names a release the same whatever the order of the listing', () => {
    const twice = goodListing.chain((objects) =>
      fc.tuple(fc.constant(objects), fc.shuffledSubarray(objects, { minLength: objects.length })),
    )
    fc.assert(
      fc.property(twice, ([objects, shuffled]) => {
        const [one, two] = [objects, shuffled].map((listing) =>
          planRelease({ files: listing, sha256Of: nothing, isStored: never }).release(({ object: { key } }) =>
            sha256(key),
          ),
        )
        expect(two).toEqual(one)
      }),
    )
  })
})

function object(path: string): WantedFile {
  const listed = { key: `app/${path}`, path, etag: '"1"', sizeBytes: 1 }
  const [wanted] = wantedFromListing([listed])
  return wanted ?? { path, object: listed, promised: undefined, executable: false }
}

function known(key: string, ...paths: readonly string[]): string | undefined {
  return paths.some((path) => key === `app/${path}`) ? sha256(key) : undefined
}

/** The content that an object has: what its name says, or else its own. */
function digestOf(key: string): string {
  return /[0-9a-f]{64}/.exec(key)?.[0] ?? sha256(key)
}

function keysOf(plan: Plan): readonly string[] {
  return plan.fetches.map(({ object: { key } }) => key)
}

function filesOrRefusal(objects: readonly WantedFile[]): readonly string[] {
  try {
    const plan = planRelease({ files: objects, sha256Of: nothing, isStored: never })
    return plan.release(({ object: { key } }) => sha256(key)).files.map((file) => file.path)
  } catch (error) {
    if (error instanceof RefusedKeyError) return []
    throw error
  }
}
