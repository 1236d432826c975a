import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { startCloud, type Cloud } from '../test/cloud/cloud.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { createApplianceFiles } from '../test/support/appliance-files.ts'
import { runCommand } from '../test/support/run-command.ts'

/**
 * Measures the bundled agent against a bare Node process in the same run: wall and CPU time to READY, resident memory of
 * an idle agent, and requests at rest. `--against` adds another bundle, such as one of an earlier version. Prints figures
 * and ratios; never fails on them.
 */
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '7' },
    'rest-minutes': { type: 'string', default: '2' },
    against: { type: 'string' },
    'against-options': { type: 'string', default: '--max-semi-space-size=1' },
  },
})
const runs = Number(values.runs)
const restMinutes = Number(values['rest-minutes'])
const settleMs = 20_000
const leanOptions = '--max-semi-space-size=1' // as the package's wrapper has it
const bundle = join(import.meta.dirname, '..', 'dist', 'native', 'agent.mjs')
const lean: Program = { file: bundle, options: [leanOptions] }
const other: Program | undefined =
  values.against === undefined ? undefined : { file: values.against, options: values['against-options'].split(' ') }
const bareScript = "process.stdout.write('agent is ready\\n'); setInterval(() => undefined, 1000)"

interface Program {
  readonly file: string
  readonly options: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

interface Start {
  readonly wallMs: number
  readonly cpuMs: number
}

interface Memory {
  readonly vmRssKiB: number
  readonly rssAnonKiB: number
}

await runCommand(process.execPath, [join(import.meta.dirname, 'build.ts')])
await using resources = new AsyncDisposableStack()
const cloud = resources.use(await startCloud())
console.log(`${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}`)

await fillCloud(cloud)
await compareStart()
await measureAtRest()

async function compareStart(): Promise<void> {
  const cached = { NODE_COMPILE_CACHE: await temporaryFolder() }
  const measured = [
    { name: 'bare node -e', time: timeBare },
    { name: 'agent', time: () => timeAgent(lean) },
    { name: 'agent, compile cache', time: () => timeAgent({ ...lean, env: cached }) },
    ...(other === undefined ? [] : [{ name: 'the other bundle', time: () => timeAgent(other) }]),
  ].map((each) => ({ ...each, starts: new Array<Start>() }))
  for (let run = 0; run <= runs; run += 1) {
    // there and back again, so that what the machine does besides meets all of them
    for (const { time, starts } of run % 2 === 0 ? measured : measured.toReversed()) {
      const start = await time()
      if (run > 0) starts.push(start) // the first warms the disk cache and fills the compile cache
    }
  }
  const bare = measured[0]?.starts ?? []
  console.log(`to READY, median of ${runs} (minimum to maximum), and ratio to bare node`)
  for (const { name, starts } of measured) {
    const texts = (['wallMs', 'cpuMs'] as const).map((key) => {
      const list = starts.map((start) => start[key])
      const base = bare.map((start) => start[key])
      return `${key === 'wallMs' ? 'time' : 'CPU time'} ${shown(list)} x ${(median(list) / median(base)).toFixed(1)}`
    })
    console.log(`  ${name.padEnd(22)} ${texts.join('   ')}`)
  }
}

async function measureAtRest(): Promise<void> {
  const bareChild = spawn(process.execPath, ['-e', bareScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  resources.defer(() => {
    bareChild.kill('SIGKILL')
  })
  const programs = [
    { name: 'agent', program: { ...lean, options: [] } },
    { name: `agent, ${leanOptions}`, program: lean },
    ...(other === undefined ? [] : [{ name: 'the other bundle', program: other }]),
  ]
  const running = []
  for (const { name, program } of programs) running.push({ name, agent: resources.use(await startAgent(program)) })
  for (const { agent } of running) {
    await agent.until(({ artifacts, cameras }) => [...artifacts, ...cameras].every(({ state }) => state === 'ok'))
  }
  await delay(settleMs)
  const bare = await memoryOf(bareChild.pid ?? 0)
  console.log(`resident memory ${settleMs / 1000} s after the first passes, and ratio to bare node`)
  console.log(`  bare node -e           VmRSS ${mib(bare.vmRssKiB)} MiB, RssAnon ${mib(bare.rssAnonKiB)} MiB`)
  for (const { name, agent } of running) {
    const { vmRssKiB, rssAnonKiB } = await memoryOf(agent.pid)
    const ratios = `x ${(vmRssKiB / bare.vmRssKiB).toFixed(1)}, x ${(rssAnonKiB / bare.rssAnonKiB).toFixed(1)}`
    console.log(`  ${name.padEnd(22)} VmRSS ${mib(vmRssKiB)} MiB, RssAnon ${mib(rssAnonKiB)} MiB   ${ratios}`)
  }
  for (const { name, agent } of running) if (name !== `agent, ${leanOptions}`) await agent.stop()
  if (restMinutes > 0) await countRequests()
}

async function countRequests(): Promise<void> {
  await delay(60_000) // the first minute still carries the lines of the start
  const sinceMs = cloud.now()
  await delay(restMinutes * 60_000)
  console.log(`requests at rest in ${restMinutes} min with one artifact and two cameras on default intervals`)
  for (const [action, count] of cloud.requests.countByAction({ sinceMs })) console.log(`  ${action}: ${count}`)
  console.log(
    `  all: ${cloud.requests.count({ sinceMs })}, per hour ${((cloud.requests.count({ sinceMs }) * 60) / restMinutes).toFixed(0)}`,
  )
}

async function timeBare(): Promise<Start> {
  const startMs = performance.now()
  const child = spawn(process.execPath, ['-e', bareScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const start = { wallMs: performance.now() - startMs, cpuMs: cpuMsOf(child.pid ?? 0) }
  child.kill('SIGKILL')
  await once(child, 'close')
  return start
}

async function timeAgent(program: Program): Promise<Start> {
  const { promise, resolve } = Promise.withResolvers<Start>()
  const appliance = await createAppliance(cloud)
  const startMs = performance.now()
  const agent = launch(program, appliance, (line) => {
    if (line.includes('agent is ready')) resolve({ wallMs: performance.now() - startMs, cpuMs: cpuMsOf(agent.pid) })
  })
  const start = await promise
  await agent.stop()
  return start
}

async function startAgent(program: Program): Promise<AgentProcess> {
  return launch(program, await createAppliance(cloud))
}

function launch(
  { file, options, env = {} }: Program,
  appliance: Awaited<ReturnType<typeof createAppliance>>,
  onLine: (line: string) => void = () => undefined,
): AgentProcess {
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', ...options, file]
  return new AgentProcess({ ...appliance, command, env, onLine })
}

/** What all threads of a process have used so far. */
function cpuMsOf(pid: number): number {
  const folder = `/proc/${pid}/task`
  const usedNs = readdirSync(folder).map((task) =>
    Number(readFileSync(join(folder, task, 'schedstat'), 'utf8').split(' ')[0]),
  )
  return usedNs.reduce((sum, ns) => sum + ns, 0) / 1e6
}

async function fillCloud({ names, s3, secrets }: Cloud): Promise<void> {
  await s3.putObject({ bucket: names.bucket, key: 'bench/model.bin', body: Buffer.alloc(1_000_000, 7) })
  for (const name of ['dock-1', 'dock-2']) {
    secrets.createSecret(`panorama/shared/${name}`, JSON.stringify({ username: 'viewer', password: 'bench' }))
  }
}

async function createAppliance({ names }: Cloud) {
  const streams = ['dock-1', 'dock-2'].map((name) => ({ name, secretId: `panorama/shared/${name}` }))
  return await createApplianceFiles({
    cloud,
    folder: await temporaryFolder(),
    thingName: `panorama_bench_${process.hrtime.bigint()}`,
    config: {
      artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'bench/' }],
      cameras: { streams },
      logs: {},
    },
  })
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-'))
  resources.defer(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function memoryOf(pid: number): Promise<Memory> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  const kibOf = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1])
  return { vmRssKiB: kibOf('VmRSS'), rssAnonKiB: kibOf('RssAnon') }
}

function median(list: readonly number[]): number {
  return list.toSorted((left, right) => left - right)[Math.floor(list.length / 2)] ?? Number.NaN
}

function shown(list: readonly number[]): string {
  const seconds = (ms: number): string => (ms / 1000).toFixed(3)
  return `${seconds(median(list))} s (${seconds(Math.min(...list))} to ${seconds(Math.max(...list))})`
}

function mib(kib: number): string {
  return (kib / 1024).toFixed(0)
}
