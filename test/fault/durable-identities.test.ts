import { readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import { expect, it } from 'vitest'

import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import { readTemplate } from '../cloud/iam/cloud-policies.ts'
import { agentCommand } from '../support/agent-process.ts'
import { isSyncedAfter, whatIsNotDurable } from '../support/durable-calls.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite, type ProvisioningSite } from '../support/provisioning-site.ts'
import { whyNoStrace } from '../support/strace.ts'
import { parseSystemCalls, type SystemCall } from '../support/system-calls.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`skipped, because strace does not work here: ${noStrace}`)
const lacksBroker = await lacksMosquitto('what of an identity survives a power cut')

const traced =
  'fsync,fdatasync,rename,renameat,renameat2,symlink,symlinkat,write,writev,pwrite64,pwritev,mkdir,mkdirat,unlink,unlinkat,rmdir'
/** So that a request which does not wait for a sync overtakes it. */
const slowSyncs = 'inject=fsync,fdatasync:delay_enter=20000'

it.skipIf(noStrace !== undefined || lacksBroker)(
  'has key, certificate and token on the disk before either RegisterThing is sent, and no change is left to a power cut',
  { timeout: 60_000 },
  async () => {
    await using site = await createProvisioningSite({ provisioning: { deleteClaim: true } })
    const { asked, whole } = await traceProvisioningAndRotation(site)
    expect(Object.keys(asked)).toEqual(['panorama-appliance', 'panorama-appliance-rotation'])
    const folder = join(site.stateFolder, 'identity')
    for (const [template, calls] of Object.entries(asked)) {
      const names = renamesIn(calls, join(folder, 'pending')).map(({ paths }) => basename(paths[1] ?? ''))
      expect(names.slice(-5), template).toEqual([
        'private.key',
        'pending.json',
        'certificate.pem',
        'pending.json',
        'pending.json',
      ])
      expect(whatACutUndoes(calls, folder), template).toEqual([])
    }
    expect(whatACutUndoes(whole, folder)).toEqual([])
    const adopted = renamesIn(whole, folder).filter(({ paths }) => paths[1] === join(folder, 'current'))
    expect(adopted).toHaveLength(2)
    for (const note of removalsOf(whole, join(folder, 'pending', 'pending.json'))) {
      const key = removalsOf(whole, join(folder, 'pending', 'private.key')).find(({ begin }) => begin > note.end)
      const between = whole.filter(({ begin }) => begin < (key?.begin ?? 0))
      expect(isSyncedAfter(between, join(folder, 'pending'), note), 'no note stands beside no key').toBe(true)
    }
    expectKeyOfClaimToGoFirst(whole, site.claimFolder)
  },
)

interface Traces {
  /** What was done when the request arrived, by its template. */
  readonly asked: Readonly<Record<string, readonly SystemCall[]>>
  readonly whole: readonly SystemCall[]
}

async function traceProvisioningAndRotation(site: ProvisioningSite): Promise<Traces> {
  const trace = join(site.folder, 'trace')
  const read = async (): Promise<readonly SystemCall[]> => parseSystemCalls(await readFile(trace, 'utf8'))
  const asked: Record<string, readonly SystemCall[]> = {}
  const { provisioning, jobs } = site.cloud.iot
  for (const name of Object.values(provisioning.templateNames)) {
    const hook = async (): Promise<unknown> => {
      asked[name] ??= await read()
      return { allowProvisioning: true }
    }
    provisioning.setTemplate(name, { body: await readTemplate(`provisioning/${name}`, {}), hook })
  }
  const strace = ['strace', '-f', '-y', '-qq', '-s', '1', '--seccomp-bpf', '-o', trace]
  const agent = site.start({ command: [...strace, '-e', `trace=${traced}`, '-e', slowSyncs, ...agentCommand] })
  await site.until('a connection', (report) => !isUnprovisioned(report) && report.connection?.state === 'connected')
  const document = { version: '1.0', operation: 'rotate-certificate', confirmSeconds: 30 }
  jobs.createJob({ jobId: 'job-1', targets: [site.thingName], document })
  const ended = (): string => jobs.describeExecution(site.thingName, 'job-1').status
  await waitUntil('the end of the rotation', () => !['QUEUED', 'IN_PROGRESS'].includes(ended()))
  expect(ended()).toBe('SUCCEEDED')
  process.kill((await site.status()).agent.pid, 'SIGTERM') // strace would keep the signal to itself
  expect(await exitOf(agent)).toEqual({ code: 0, signal: null })
  return { asked, whole: await read() }
}

/** Changes of the identity that are not durable when the next one begins, or where the trace ends. */
function whatACutUndoes(calls: readonly SystemCall[], folder: string): readonly string[] {
  const changes = calls.filter(
    ({ name, paths }) => /^(rename|mkdir|unlink|rmdir)/.test(name) && isIn(paths.at(-1), folder),
  )
  return changes.flatMap((change, index) => {
    const path = change.paths.at(-1) ?? ''
    const isPartOfRemoval = removalsOf(changes, dirname(path)).some(({ begin }) => begin > change.end)
    if (isPartOfRemoval && !change.name.startsWith('rename')) return []
    const next = changes[index + 1]?.begin ?? Infinity
    const until = calls.filter(({ begin }) => begin < next)
    if (change.name.startsWith('rename')) return whatIsNotDurable(until, change).map((what) => `${path}: ${what}`)
    return isSyncedAfter(until, dirname(path), change) ? [] : [`${change.name} of ${path} is not synced`]
  })
}

function expectKeyOfClaimToGoFirst(calls: readonly SystemCall[], folder: string): void {
  const gone = calls.filter(({ name, paths }) => name.startsWith('unlink') && isIn(paths[0], folder))
  expect(gone.map(({ paths }) => basename(paths[0] ?? ''))).toEqual(['private.key', 'certificate.pem'])
  const [key, certificate] = gone
  if (key === undefined || certificate === undefined) return
  const between = calls.filter(({ begin }) => begin < certificate.begin)
  expect(isSyncedAfter(between, folder, key)).toBe(true)
  expect(isSyncedAfter(calls, folder, certificate)).toBe(true)
}

function renamesIn(calls: readonly SystemCall[], folder: string): readonly SystemCall[] {
  return calls.filter(({ name, paths }) => name.startsWith('rename') && isIn(paths[1], folder))
}

function removalsOf(calls: readonly SystemCall[], path: string): readonly SystemCall[] {
  return calls.filter(({ name, paths }) => /^(unlink|rmdir)/.test(name) && paths[0] === path)
}

function isIn(path: string | undefined, folder: string): boolean {
  return path?.startsWith(`${folder}/`) === true
}
