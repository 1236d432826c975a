import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { bundleForBench } from './bench-bundle.ts'
import type { Figures } from './bench-logs/figures.ts'
import { writeLineFile } from './bench-logs/line-file.ts'
import { savedBytes } from './bench-logs/log-path.ts'
import { RunningSink } from './bench-logs/running-sink.ts'
import type { SinkCounts } from './bench-logs/sink.ts'
import { runCommand } from '../test/support/run-command.ts'

/**
 * Measures the log path from a file of numbered lines to a TLS sink that only counts, against a plain loop over the SDK in
 * the same run, with winston-cloudwatch beside them; with `--idle`, the log path at rest. Prints figures and ratios, and
 * which lines are missing; never fails on time. `--profile FOLDER` writes CPU profiles of the log path.
 */
const { values } = parseArgs({
  options: {
    lines: { type: 'string', default: '1000000' },
    runs: { type: 'string', default: '3' },
    idle: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '60' },
    ours: { type: 'boolean', default: false },
    profile: { type: 'string' },
    'node-options': { type: 'string', default: '--max-semi-space-size=1' }, // as the package's wrapper sets it
  },
})
const lines = Number(values.lines)
const winstonVersion = '6.3.0'
const idleFiles = 10

interface Runner {
  readonly name: string
  readonly args: (run: string) => readonly string[]
  /** Of the file, after the run. */
  readonly savedBytes?: (run: string) => Promise<number>
}

interface Row {
  readonly name: string
  readonly figures: Figures
  readonly counts: SinkCounts
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
await using resources = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-logs-'))
resources.defer(() => rm(folder, { recursive: true, force: true }))
// where the copy of the cursors is on a device: in memory
const memory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'panorama-bench-logs-'))
resources.defer(() => rm(memory, { recursive: true, force: true }))
const sink = resources.use(await RunningSink.start(folder))
const connection = ['--port', String(sink.port), '--certificate', sink.certificate]
const logsFolder = join(folder, 'logs')
await mkdir(logsFolder)
for (const name of ['agent-run', 'sdk-loop']) await bundleForBench(source(name), bundle(name))
const load = loadavg().map((each) => each.toFixed(1))
console.log(
  `${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}, load ${load.join(' ')}`,
)
if (values.idle) await benchIdle()
else await benchThroughput()

async function benchThroughput(): Promise<void> {
  const file = join(logsFolder, 'bench.log')
  const bytes = await writeLineFile(file, lines)
  console.log(`${lines} lines of ${(bytes / lines).toFixed(1)} bytes, best of ${values.runs}`)
  const plain = { name: 'plain loop over the SDK', args: () => [bundle('sdk-loop'), ...connection, '--file', file] }
  const peers = values.ours ? [] : [await winstonRunner(file)]
  const runners = [plain, agentRunner('none'), agentRunner('gzip'), ...peers]
  const rows: Row[] = []
  for (const runner of runners) rows.push(await best(runner, bytes))
  printRows(rows)
}

function printRows(rows: readonly Row[]): void {
  const plain = rows[0]?.figures.cpuSeconds ?? Number.NaN
  const columns = ['events/s', 'events/CPU-s', 'CPU s', '(loading)', 'ratio', 'peak MiB', 'requests', 'MB sent']
  console.log(`${''.padEnd(34)}${columns.map((column) => column.padStart(14)).join('')}`)
  for (const { name, figures, counts } of rows) {
    const cells = [
      Math.round(lines / figures.wallSeconds),
      Math.round(lines / figures.cpuSeconds),
      figures.cpuSeconds.toFixed(2),
      figures.loadingSeconds.toFixed(2),
      (figures.cpuSeconds / plain).toFixed(2),
      figures.peakMiB.toFixed(0),
      counts.requests,
      (counts.bytes / 1e6).toFixed(1),
    ]
    console.log(`${name.padEnd(34)}${cells.map((cell) => String(cell).padStart(14)).join('')}`)
  }
}

function agentRunner(compression: 'gzip' | 'none'): Runner {
  const entry = values.profile === undefined ? [bundle('agent-run')] : [...profiled(compression), source('agent-run')]
  const options = [...values['node-options'].split(' ').filter((option) => option !== ''), ...entry, ...connection]
  return {
    name: `panorama-agent, ${compression === 'none' ? 'no compression' : 'gzip at level 1'}`,
    args: (run) => [...options, ...agentOptions(run, compression)],
    savedBytes,
  }
}

function agentOptions(stateFolder: string, compression: string): readonly string[] {
  const copy = join(memory, `${basename(stateFolder)}.json`)
  return ['--pattern', join(logsFolder, '*.log'), '--state', stateFolder, '--copy', copy, '--compression', compression]
}

function profiled(name: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${values.profile ?? ''}`, `--cpu-prof-name=${name}.cpuprofile`]
}

/** Installed into the temporary folder: nothing else here needs it. */
async function winstonRunner(file: string): Promise<Runner> {
  const modules = join(folder, 'winston')
  await mkdir(modules)
  const packages = [
    `winston-cloudwatch@${winstonVersion}`,
    'winston@3.19.0',
    '@aws-sdk/client-cloudwatch-logs@3.1169.0',
  ]
  await runCommand('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefix', modules, ...packages], {
    withinMs: 300_000,
  })
  const args = [source('winston-run'), ...connection, '--file', file, '--modules', modules]
  return { name: `winston-cloudwatch ${winstonVersion}`, args: () => args }
}

async function best(runner: Runner, bytes: number): Promise<Row> {
  const rows: Row[] = []
  for (let index = 0; index < Number(values.runs); index += 1) {
    const run = join(folder, `${runner.name.replaceAll(/\W+/g, '-')}-${index}`)
    const [figures] = await runProgram(runner.args(run))
    if (figures === undefined) throw new Error(`${runner.name} printed no figures`)
    const counts = await sink.take()
    const saved = (await runner.savedBytes?.(run)) ?? bytes
    const { events, lines: arrived, outOfOrder } = counts
    if (events !== lines || arrived !== lines || outOfOrder > 0 || saved !== bytes) {
      console.log(
        `${runner.name}: NOT AS IT SHOULD BE: ${arrived} of ${lines} lines in ${events} events, ${outOfOrder} out of order, ` +
          `cursor at ${saved} of ${bytes} bytes`,
      )
    }
    rows.push({ name: runner.name, figures: JSON.parse(figures) as Figures, counts })
  }
  const [first] = rows.toSorted((left, right) => left.figures.cpuSeconds - right.figures.cpuSeconds)
  if (first === undefined) throw new Error('nothing was run')
  return first
}

async function benchIdle(): Promise<void> {
  for (let index = 0; index < idleFiles; index += 1) await writeLineFile(join(logsFolder, `source-${index}.log`), 1_000)
  const state = join(folder, 'idle')
  const args = [...agentRunner('gzip').args(state), '--rest', values.seconds]
  const counts: SinkCounts[] = []
  const printed = await runProgram(args, async () => {
    counts.push(await sink.take())
  })
  const { share } = JSON.parse(printed.at(-2) ?? '{}') as { share: number }
  const { peakMiB } = JSON.parse(printed.at(-1) ?? '{}') as Figures
  const requests = counts[1]?.requests ?? Number.NaN
  console.log(
    `${idleFiles} files at rest for ${values.seconds} s: ${(share * 100).toFixed(3)} % of a core, ${requests} PutLogEvents, ` +
      `peak ${peakMiB.toFixed(0)} MiB (${counts[0]?.events ?? 0} events before)`,
  )
}

/** Answers the lines that it prints; `onLine` is run at each before the next. */
async function runProgram(
  args: readonly string[],
  onLine: () => Promise<void> = () => Promise.resolve(),
): Promise<readonly string[]> {
  const env = { ...process.env, TZ: 'UTC' }
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  })
  const kill = (): boolean => child.kill('SIGKILL')
  process.once('exit', kill)
  const exited = once(child, 'exit') as Promise<[number | null]>
  const printed: string[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    printed.push(line)
    await onLine()
  }
  const [code] = await exited
  process.off('exit', kill)
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${String(code)}`)
  return printed
}

function source(name: string): string {
  return join(import.meta.dirname, 'bench-logs', `${name}.ts`)
}

function bundle(name: string): string {
  return join(folder, `${name}.mjs`)
}
