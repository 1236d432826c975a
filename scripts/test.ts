import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { readTestReport, reportVariable, type TestReport } from './testing/test-report.ts'

/**
 * Runs every check and every test, also when an earlier one failed, says once more what failed, and prints
 * `N passed, N failed` at the end. A failed check counts as one failure; tests are counted one by one. With arguments,
 * only those tests of one process run.
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

const failures = [...(checksFailed === 0 ? [] : ['npm run check']), ...runs.flatMap((run) => run.failures)]
for (const failure of failures) console.log(`FAILED ${failure}`)
const passed = sum(runs.map((run) => run.passed))
const leftOut = sum(runs.map((run) => run.leftOut))
if (leftOut > 0) console.log(`${leftOut} tests left out, for the reasons printed above`)
console.log(`${passed + 1 - checksFailed} passed, ${failures.length} failed`)
process.exitCode = failures.length === 0 ? 0 : 1

async function runTests(name: string, args: readonly string[]): Promise<TestReport> {
  const file = join(folder, `${name}.json`)
  const reporters = ['--reporter=default', '--reporter=./scripts/testing/report-writer.ts']
  const hasSucceeded = await succeeds('vitest', ['run', ...reporters, ...args], { [reportVariable]: file })
  return readTestReport(await readFile(file, 'utf8').catch(() => ''), { name, hasSucceeded })
}

/** Why no container can be booted here; undefined when one can. */
async function whyNoContainers(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'they boot containers, which only root can'
  for (const tool of ['debootstrap', 'systemd-nspawn', 'nsenter', 'setpriv'])
    if (!(await succeeds('sh', ['-c', `command -v ${tool} >/dev/null`]))) return `there is no ${tool} here`
  return undefined
}

async function succeeds(command: string, args: readonly string[], environment = {}): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const child = spawn(command, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  child.once('error', () => {
    resolve(false)
  })
  child.once('close', (code) => {
    resolve(code === 0)
  })
  return await promise
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
