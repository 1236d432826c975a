import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { readTestReport, reportVariable, type TestReport } from '../../../scripts/testing/test-report.ts'
import { runCommand } from '../../support/run-command.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const vitest = new URL('../../../node_modules/vitest/vitest.mjs', import.meta.url).pathname
const reportWriter = new URL('../../../scripts/testing/report-writer.ts', import.meta.url).pathname

describe('the report of a run', () => {
  test('names each test that failed, with its file and its message', async () => {
    const report = await run({
      'sum.test.js':
        "test('adds', () => expect(1 + 1).toBe(3))\ntest('holds', () => expect(1).toBe(1))\ntest.skip('later')",
      'deep/word.test.js': "describe('a word', () => test('is short', () => { throw new Error('it is long') }))",
    })
    expect(report).toMatchObject({ passed: 1, leftOut: 1 })
    expect(report.failures.toSorted()).toEqual([
      expect.stringMatching(
        /^deep\/word\.test\.js > a word > is short\n {4}Error: it is long\n.*deep\/word\.test\.js:1:\d+$/,
      ),
      expect.stringMatching(/^sum\.test\.js > adds\n {4}AssertionError: expected 2 to be 3[^]*\n {4}\+ 2$/),
    ])
  })

  test('names a file that could not be read, and one whose hook failed', async () => {
    const report = await run({
      'broken.test.js': "import './nowhere.js'\ntest('never', () => {})",
      'hook.test.js':
        "afterAll(() => { throw new Error('left a file behind') })\ntest('holds', () => expect(1).toBe(1))",
    })
    expect(report).toMatchObject({ passed: 1, leftOut: 0 })
    expect(report.failures.toSorted()).toEqual([
      expect.stringMatching(/^broken\.test\.js\n[^]*nowhere\.js/),
      expect.stringMatching(/^hook\.test\.js\n[^]*left a file behind/),
    ])
  })

  test('counts what failed outside of any test', async () => {
    const report = await run({
      'late.test.js':
        "test('holds', async () => { setTimeout(() => { throw new Error('late') }); await new Promise((done) => setTimeout(done, 50)) })",
    })
    expect(report).toMatchObject({ passed: 1 })
    expect(report.failures).toEqual([expect.stringMatching(/^outside of any test\n {4}Error: late\n/)])
  })

  test('counts a run without tests, and one without a report', async () => {
    const empty = await run({ 'none.test.js': "test.skip('later')" })
    expect(empty).toMatchObject({ passed: 0, leftOut: 1, failures: ['tests: not one test was run'] })
    for (const text of ['', '{', '{}'])
      expect(readTestReport(text, { name: 'tests', hasSucceeded: true })).toEqual({
        passed: 0,
        leftOut: 0,
        failures: ['tests: the run ended without a report'],
      })
  })
})

async function run(files: Record<string, string>): Promise<TestReport> {
  await using folder = await tempFolder()
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, name)), { recursive: true })
    await writeFile(join(folder.path, name), text)
  }
  const file = join(folder.path, 'report.json')
  const outer = Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST'))
  const env = { ...Object.fromEntries(outer), [reportVariable]: file }
  const args = ['run', '--globals', `--root=${folder.path}`, `--reporter=${reportWriter}`]
  const hasSucceeded = await runCommand(process.execPath, [vitest, ...args], { env, withinMs: 25_000 }).then(
    () => true,
    () => false,
  )
  return readTestReport(await readFile(file, 'utf8').catch(() => ''), { name: 'tests', hasSucceeded })
}
