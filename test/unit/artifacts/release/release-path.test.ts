import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { checkPaths, RefusedKeyError } from '../../../../agent/artifacts/release/release-path.ts'
import { filesBelow, tempFolder } from '../artifact-fixture.ts'

const check = (...paths: readonly string[]): void => {
  checkPaths(paths.map((path) => ({ key: `app/${path}`, path })))
}

describe('checkPaths', () => {
  it.each([
    [['a\\b'], '"app/a\\\\b" cannot be a file of a release: it holds a backslash'],
    [['..\\..\\windows'], 'it holds a backslash'],
    [['/a'], 'it is absolute'],
    [['a\nb'], 'it holds a control character'],
    [['a\u009bb'], 'it holds a control character'],
    [['a\u2028b'], 'it holds a control character'],
    [['a//b'], 'it has an empty path segment'],
    [['a/'], 'it has an empty path segment'],
    [[''], 'it has an empty path segment'],
    [['é'.repeat(128)], 'a path segment is longer than 255 bytes'],
    [[`${'x/'.repeat(512)}y`], 'it is longer than 1024 bytes'],
    [['Model.bin', 'model.bin'], '"app/Model.bin" has a path that differs in case or Unicode form only'],
    [['caf\u00e9', 'cafe\u0301'], 'differs in case or Unicode form'],
    [['ﬁle', 'file'], 'differs in case or Unicode form'],
    [['stra\u00dfe', 'STRASSE'], 'differs in case or Unicode form'],
    [['Σ', 'ς'], 'differs in case or Unicode form'],
    [['\u212b', '\u00e5'], 'differs in case or Unicode form'],
    [['Models/a', 'models/b'], 'differs in case or Unicode form'],
    [['MODELS', 'models/b'], 'differs in case or Unicode form'],
    [['a/b/c', 'a/b'], '"app/a/b/c" needs a folder of that name'],
  ])('says why %j cannot be a release', (paths, why) => {
    expect(() => {
      check(...paths)
    }).toThrow(RefusedKeyError)
    expect(() => {
      check(...paths)
    }).toThrow(why)
  })

  it('takes names that only look odd, and siblings of a folder', () => {
    check('...', '..a', '-rf', '~', 'a b', 'a:b', 'ab/c', 'ab.d/e', 'ab/d', 'x'.repeat(255), 'моде́ль', '模型', '👩‍🔬')
    check(`${'x/'.repeat(511)}yz`)
  })

  it('lets pass only what a file system can hold, each path once, nothing outside', async () => {
    await using folder = await tempFolder()
    let run = 0
    const segment = fc.oneof(
      fc.constantFrom('a', 'A', 'b', '..', '.', '', '\0', 'é', 'e\u0301', '\\', '\u212b'),
      fc.string({ unit: 'binary', maxLength: 5 }),
    )
    const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'))
    await fc.assert(
      fc.asyncProperty(fc.array(path, { minLength: 1, maxLength: 4 }), async (paths) => {
        try {
          check(...paths)
        } catch (error) {
          expect(error).toBeInstanceOf(RefusedKeyError)
          return
        }
        const root = join(folder.path, String((run += 1)), 'root')
        for (const each of paths) {
          await mkdir(dirname(join(root, each)), { recursive: true })
          await writeFile(join(root, each), each, { flag: 'wx' })
        }
        expect(await filesBelow(dirname(root))).toEqual(paths.map((each) => `root/${each}`).sort())
        for (const each of paths) expect(await readFile(join(root, each), 'utf8')).toBe(each)
      }),
      { numRuns: 300 },
    )
    expect(run).toBeGreaterThan(20)
  })
})
