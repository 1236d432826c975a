import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { describe, expect, it } from 'vitest'

import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusDocument, StatusReport } from '../../agent/status/status-document.ts'
import { agentCommand, type AgentProcess } from '../support/agent-process.ts'
import { freePort } from '../support/free-port.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite, type ProvisioningSite } from '../support/provisioning-site.ts'
import { runCommand } from '../support/run-command.ts'
import { until } from '../support/wait-until.ts'

const [node = '', ...agentArgs] = agentCommand

/** The real command, in a process of its own. */
async function reset(site: Pick<ProvisioningSite, 'configFile'>, ...options: readonly string[]): Promise<string> {
  return (await runCommand(node, [...agentArgs, 'reset', '--config', site.configFile, ...options])).stdout
}

/** Of each thing that an agent can be told to do, one. */
async function busySite(): Promise<ProvisioningSite> {
  const port = await freePort()
  const site = await createProvisioningSite({
    config: ({ folder, cloud }) => ({
      artifacts: [{ name: 'model', accessPoint: cloud.names.accessPointArn, prefix: 'model/', pollSeconds: 10 }],
      cameras: { hook: 'changed', streams: [{ name: 'dock-1', secretId: 'panorama/shared/dock-1', probe: false }] },
      logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(folder, 'logs', '*.log') }] },
      applications: [{ name: 'people-counter', roleAlias: 'people-counter', group: 'root' }],
      applicationCredentials: { port },
    }),
  })
  const { cloud, folder } = site
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/model.bin', body: 'weights' })
  const password = 'a password of the camera'
  const secret = { username: 'viewer', password, streamUrl: 'rtsp://dock-1.example:554/1' }
  cloud.secrets.createSecret('panorama/shared/dock-1', JSON.stringify(secret))
  await mkdir(join(folder, 'logs'))
  await writeFile(join(folder, 'logs', 'a.log'), 'a line\n')
  return site
}

const isWorking = (report: StatusReport): boolean => !isUnprovisioned(report) && hasAll(report)

function hasAll({ artifacts, cameras, connection }: StatusDocument): boolean {
  const [artifact] = artifacts
  const [camera] = cameras
  return connection?.state === 'connected' && artifact?.releaseId !== undefined && camera?.state === 'ok'
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  )
}

/** A wipe of it takes a while. */
async function addBulk(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let nth = 0; nth < 3_000; nth += 1) await writeFile(join(folder, String(nth)), '')
}

/** Every file, below both folders of the agent. */
async function filesOf({ stateFolder, runtimeFolder }: ProvisioningSite): Promise<readonly string[]> {
  const all: string[] = []
  for (const folder of [stateFolder, runtimeFolder]) all.push(...(await readdir(folder, { recursive: true })))
  return all
}

describe.skipIf(await lacksMosquitto('a reset of an appliance that was provisioned'))('panorama-agent reset', () => {
  it('leaves nothing of an agent that has everything to do but the lock, and it becomes the same thing again', async () => {
    await using site = await busySite()
    const { cloud, stateFolder, runtimeFolder, thingName } = site
    const first = site.start()
    await site.until('an agent that works', isWorking)
    const createJob = (jobId: string, operation: object): void => {
      cloud.iot.jobs.createJob({ jobId, targets: [thingName], document: { version: '1.0', ...operation } })
    }
    createJob('rotate', { operation: 'rotate-certificate', confirmSeconds: 30 })
    await until(() => cloud.iot.jobs.describeExecution(thingName, 'rotate').status === 'SUCCEEDED')
    createJob('change', { operation: 'configure', patch: { logs: { flushSeconds: 2 } } })
    await site.until(
      'a changed configuration',
      (report) => !isUnprovisioned(report) && report.configuration?.version === 1,
    )
    await expect(reset(site, '--yes')).rejects.toThrow(/an agent works on .*\nhint: .*systemctl stop panorama-agent/)
    await first.stop()
    const kept = [
      'identity/current',
      'identity/rotation.json',
      'cameras',
      'config/1.json',
      'jobs/ledger.json',
      'logs/cursors.json',
      'artifacts/model',
    ]
    for (const name of kept) expect(await isThere(join(stateFolder, name)), name).toBe(true)
    const before = await filesOf(site)

    await expect(reset(site)).rejects.toThrow('nothing is wiped yet')
    expect(await filesOf(site)).toEqual(before)

    expect(await reset(site, '--yes')).toContain('next: the agent provisions itself with the claim')
    expect(await readdir(stateFolder)).toEqual(['lock'])
    expect(await readdir(runtimeFolder)).toEqual([])
    site.start()
    const report = await site.until('an agent that works again', isWorking)
    expect(report).toMatchObject({ device: { thingName } })
    expect(new Set(site.things())).toEqual(new Set([thingName]))
  }, 90_000)

  it('that was killed is finished by the next start of the agent, before that reads who it is', async () => {
    await using site = await createProvisioningSite()
    const identity = join(site.stateFolder, 'identity')
    const marker = join(site.stateFolder, 'reset.json')
    const provisioned = async (): Promise<AgentProcess> => {
      const agent = site.start()
      await site.until('an identity', (report) => !isUnprovisioned(report))
      await agent.stop()
      return agent
    }
    await provisioned()
    const [first = ''] = await readdir(join(identity, 'versions'))
    await addBulk(join(site.stateFolder, 'artifacts', 'model', 'releases', 'r1'))
    const child = spawn(node, [...agentArgs, 'reset', '--yes', '--config', site.configFile], { stdio: 'ignore' })
    const exit = once(child, 'exit')
    await until(async () => child.exitCode !== null || (await isThere(marker)))
    await delay(randomInt(30))
    child.kill('SIGKILL')
    await exit
    const isCut = await isThere(marker)
    expect((await provisioned()).output.includes('the reset is finished')).toBe(isCut)
    const [second = ''] = await readdir(join(identity, 'versions'))
    expect(second).not.toBe(first)
    expect(await isThere(join(site.stateFolder, 'artifacts', 'model'))).toBe(false)

    const decided = { version: 1, decommission: false, runtime: site.runtimeFolder, identityFiles: [] }
    await writeFile(marker, JSON.stringify(decided))
    expect((await provisioned()).output).toContain('the reset is finished')
    expect(await readdir(join(identity, 'versions'))).not.toContain(second)
    expect(await isThere(marker)).toBe(false)
  }, 60_000)
})
