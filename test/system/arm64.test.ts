import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { agentVersion } from '../../agent/build-info.ts'
import type { DoctorReport } from '../../agent/doctor/doctor-check.ts'
import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusReport } from '../../agent/status/status-document.ts'
import { createAgentSite } from '../support/agent-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { createProvisioningSite } from '../support/provisioning-site.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { waitUntil } from '../support/wait-until.ts'
import { arm64Libraries } from './support/arm64-libraries.ts'
import { packageFile, whyNoTool } from './support/package-file.ts'

const isWanted = process.env['PANORAMA_TEST_ARM64'] === '1'
if (!isWanted) console.log('left out: the package for arm64 under qemu-user (set PANORAMA_TEST_ARM64=1)')
const noQemu = isWanted ? await whyNoTool('qemu-aarch64-static', 'qemu-user-static') : undefined
const noBroker = isWanted ? await lacksMosquitto('provisioning on arm64') : undefined
const noLintian = isWanted ? await whyNoTool('lintian', 'lintian') : undefined

describe.skipIf(!isWanted || noQemu !== undefined)('the package for arm64, built here and run by qemu-user', () => {
  let folder: TempFolder
  let file: string
  let lib: string
  /** How its runtime is started here. */
  let node: readonly string[]

  beforeAll(async () => {
    folder = await tempFolder()
    file = await packageFile({ platform: 'arm64', folder: folder.path })
    await runCommand('dpkg-deb', ['--extract', file, join(folder.path, 'tree')])
    lib = join(folder.path, 'tree/usr/lib/panorama-agent')
    const flags = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=1']
    node = ['qemu-aarch64-static', '-L', await arm64Libraries(), join(lib, 'node'), ...flags]
  })

  afterAll(async () => {
    await folder[Symbol.asyncDispose]()
  })

  it('brings runtime, agent and aws-crt for arm64', async () => {
    const [qemu = '', ...args] = node
    const crt = join(lib, 'bin/linux-arm64-glibc/aws-crt-nodejs.node')
    const load = `console.log(process.arch, process.version, typeof require(${JSON.stringify(crt)}).mqtt5_client_new)`
    expect((await runCommand(qemu, [...args, '-e', load])).stdout).toBe(`arm64 ${process.version} function\n`)
    const version = await runCommand(qemu, [...args, join(lib, 'native/agent.mjs'), '--version'])
    expect(version.stdout).toBe(`${agentVersion}\n`)
  })

  it('does the main job', async () => {
    await using site = await createAgentSite()
    await site.publish('a', 'content')
    site.setPassword('first')
    const agent = site.start({ command: [...node, join(lib, 'native/agent.mjs')] })
    await agent.until(
      ({ artifacts, cameras, logs }) => [...artifacts, ...cameras, logs].every(({ state }) => state === 'ok'),
      180_000,
    )
    expect(await readFile(join(site.artifactFolder, 'current', 'a'), 'utf8')).toBe('content')
    expect(JSON.parse(await readFile(site.cameraFile, 'utf8'))).toMatchObject({ password: 'first' })
    expect(await agent.stop()).toEqual({ code: 0, signal: null })
  })

  it.skipIf(noBroker)(
    'provisions itself by claim, gets another certificate by a job, and finds itself well',
    async () => {
      await using site = await createProvisioningSite()
      const { jobs, provisioning } = site.cloud.iot
      const command = [...node, join(lib, 'native/agent.mjs')]
      const agent = site.start({ command })
      const isConnected = (status: StatusReport): boolean =>
        !isUnprovisioned(status) && status.connection?.state === 'connected'
      await site.until('it is provisioned', isConnected, 180_000)
      const before = provisioning.certificates().find(({ things }) => things.includes(site.thingName))
      const rotate = { version: '1.0', operation: 'rotate-certificate' }
      jobs.createJob({ jobId: 'rotate', targets: [site.thingName], document: rotate })
      const execution = () => jobs.describeExecution(site.thingName, 'rotate')
      await waitUntil('the rotation is over', () => execution().status !== 'QUEUED', 60_000)
      await waitUntil('the rotation is over', () => execution().status !== 'IN_PROGRESS', 180_000)
      expect(execution()).toMatchObject({
        status: 'SUCCEEDED',
        statusDetails: { deactivate: before?.certificateId },
      })
      expect(site.things()).toEqual([site.thingName, site.thingName])

      const [qemu = '', ...args] = command
      const doctor = await runCommand(qemu, [...args, 'doctor', '--json', '--config', site.configFile], {
        withinMs: 120_000,
      })
      const { findings } = JSON.parse(doctor.stdout) as DoctorReport
      expect(findings.filter(({ level }) => level === 'fail')).toEqual([])
      expect(findings).toContainEqual(expect.objectContaining({ id: 'mqtt', level: 'pass' }))
      expect(await agent.stop()).toEqual({ code: 0, signal: null })
    },
  )

  it.skipIf(noLintian !== undefined)('is as Debian wants its packages', async () => {
    const args = ['--fail-on', 'error,warning', '--allow-root', file]
    expect((await runCommand('lintian', args, { withinMs: 300_000 })).stdout).toBe('')
  })
})
