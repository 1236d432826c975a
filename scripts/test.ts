import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Runs every check and every test, also when an earlier one failed, and prints `N passed, N failed` at the end. A
 * failed check counts as one failure; tests are counted one by one. With arguments, only those tests of one process run.
 */
const wanted = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'panorama-agent-test-'))

const checksFailed = (await succeeds('npm', ['run', '--silent', 'check'])) ? 0 : 1
console.log(checksFailed === 0 ? 'check: passed' : 'check: FAILED')

const runs = [await runTests('tests', wanted)]
const noSystem = wanted.length > 0 ? 'only some tests were asked for' : await whyNoContainers()
if (noSystem === undefined) runs.push(await runTests('system', ['--config', 'vitest.system.config.ts']))
else console.log(`the system tests (npm run test:system) were not run: ${noSystem}`)
await rm(folder, { recursive: true })

const passed = sum(runs.map((run) => run.passed))
const failed = sum(runs.map((run) => run.failed))
const leftOut = sum(runs.map((run) => run.leftOut))
if (leftOut > 0) console.log(`${leftOut} tests left out, for the reasons printed above`)
console.log(`${passed + 1 - checksFailed} passed, ${failed + checksFailed} failed`)
process.exitCode = failed + checksFailed === 0 ? 0 : 1

async function runTests(name: string, args: readonly string[]): Promise<Counts> {
  const report = join(folder, `${name}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  return await readCounts(report, await succeeds('vitest', ['run', ...reporters, ...args]))
}

/** Why no container can be booted here; undefined when one can. */
async function whyNoContainers(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'they boot containers, which only root can'
  for (const tool of ['debootstrap', 'systemd-nspawn', 'nsenter', 'setpriv'])
    if (!(await succeeds('sh', ['-c', `command -v ${tool} >/dev/null`]))) return `there is no ${tool} here`
  return undefined
}

async function succeeds(command: string, args: readonly string[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  child.once('error', () => {
    resolve(false)
  })
  child.once('close', (code) => {
    resolve(code === 0)
  })
  return await promise
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly leftOut: number
}

/** A run that broke before its report, or failed outside of any test, counts as one failure. */
async function readCounts(path: string, succeeded: boolean): Promise<Counts> {
  const text = await readFile(path, 'utf8').catch(() => '{}')
  const json: unknown = JSON.parse(text)
  const passed = numberAt(json, 'numPassedTests')
  const failed = numberAt(json, 'numFailedTests')
  const leftOut = numberAt(json, 'numPendingTests')
  return { passed, failed: failed === 0 && (!succeeded || passed === 0) ? 1 : failed, leftOut }
}

function numberAt(json: unknown, key: string): number {
  if (typeof json !== 'object' || json === null) return 0
  const value: unknown = Object.entries(json).find(([name]) => name === key)?.[1]
  return typeof value === 'number' ? value : 0
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
