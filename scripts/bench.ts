import { spawn } from 'node:child_process'
import { once } from 'node:events'
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
 * Measures the bundled agent against a bare Node process in the same run: time to READY, resident memory of an idle
 * agent, and requests at rest. Prints figures and ratios; never fails on them.
 */
const { values } = parseArgs({
  options: { runs: { type: 'string', default: '7' }, 'rest-minutes': { type: 'string', default: '2' } },
})
const runs = Number(values.runs)
const restMinutes = Number(values['rest-minutes'])
const settleMs = 20_000
const leanOptions = '--max-semi-space-size=1'
const bundle = join(import.meta.dirname, '..', 'dist', 'native', 'agent.cjs')
const bareScript = "process.stdout.write('agent is ready\\n'); setInterval(() => undefined, 1000)"

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
  const bare: number[] = []
  const cold: number[] = []
  const cached: number[] = []
  const cacheFolder = await temporaryFolder()
  for (let run = 0; run <= runs; run += 1) {
    const timings = [await timeBare(), await timeAgent({}), await timeAgent({ NODE_COMPILE_CACHE: cacheFolder })]
    if (run === 0) continue // warms the disk cache and fills the compile cache
    for (const [index, list] of [bare, cold, cached].entries()) list.push(timings[index] ?? Number.NaN)
  }
  console.log(`time to READY, median of ${runs} (minimum to maximum), and ratio to bare node`)
  for (const [name, list] of [
    ['bare node -e', bare],
    ['agent', cold],
    ['agent, compile cache', cached],
  ] as const) {
    console.log(`  ${name.padEnd(22)} ${shown(list)}   x ${(median(list) / median(bare)).toFixed(1)}`)
  }
}

async function measureAtRest(): Promise<void> {
  const bareChild = spawn(process.execPath, ['-e', bareScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  resources.defer(() => {
    bareChild.kill('SIGKILL')
  })
  const plain = await startAgent({})
  const lean = resources.use(await startAgent({ NODE_OPTIONS: leanOptions }))
  for (const agent of [plain, lean]) {
    await agent.until(({ artifacts, cameras }) => [...artifacts, ...cameras].every(({ state }) => state === 'ok'))
  }
  await delay(settleMs)
  const bare = await memoryOf(bareChild.pid ?? 0)
  console.log(`resident memory ${settleMs / 1000} s after the first passes, and ratio to bare node`)
  console.log(`  bare node -e           VmRSS ${mib(bare.vmRssKiB)} MiB, RssAnon ${mib(bare.rssAnonKiB)} MiB`)
  for (const [name, agent] of [
    ['agent', plain],
    [`agent, ${leanOptions}`, lean],
  ] as const) {
    const { vmRssKiB, rssAnonKiB } = await memoryOf(agent.pid)
    const ratios = `x ${(vmRssKiB / bare.vmRssKiB).toFixed(1)}, x ${(rssAnonKiB / bare.rssAnonKiB).toFixed(1)}`
    console.log(`  ${name.padEnd(22)} VmRSS ${mib(vmRssKiB)} MiB, RssAnon ${mib(rssAnonKiB)} MiB   ${ratios}`)
  }
  await plain.stop()
  await countRequests()
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

async function timeBare(): Promise<number> {
  const startMs = performance.now()
  const child = spawn(process.execPath, ['-e', bareScript], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  const elapsedMs = performance.now() - startMs
  child.kill('SIGKILL')
  await once(child, 'close')
  return elapsedMs
}

async function timeAgent(env: Readonly<Record<string, string>>): Promise<number> {
  const startMs = performance.now()
  let readyMs = Number.NaN
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const agent = await startAgent(env, (line) => {
    if (!line.includes('agent is ready')) return
    readyMs = performance.now()
    resolve(undefined)
  })
  await promise
  await agent.stop()
  return readyMs - startMs - agent.preparationMs
}

async function startAgent(
  env: Readonly<Record<string, string>>,
  onLine: (line: string) => void = () => undefined,
): Promise<AgentProcess & { readonly preparationMs: number }> {
  const startMs = performance.now()
  const appliance = await createAppliance(cloud)
  const preparationMs = performance.now() - startMs
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', bundle]
  return Object.assign(new AgentProcess({ ...appliance, command, env, onLine }), { preparationMs })
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
