import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'

import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { configSchema, type Config } from '../../../agent/config/config-schema.ts'
import { createLookup } from '../../cloud/cloud-lookup.ts'
import { Faults } from '../../cloud/faults.ts'
import { askCredentials } from './credentials-client.ts'

const announced = z.object({ identity: z.string(), endpoints: z.object({ credentials: z.string(), s3: z.string() }) })

describe('npm run cloud', () => {
  it('serves the appliance that it wrote down, and cleans up when it is interrupted', async () => {
    await using running = await runCloud([])
    const { identity, endpoints } = running.announced

    const { certificate, privateKey, rootCa, thingName } = await readIdentity(identity)
    const answer = await askCredentials(
      { endpoints, rootCaPem: rootCa, lookup: createLookup(new Faults()) },
      { identity: { certificatePem: certificate, privateKeyPem: privateKey }, thingName },
    )

    expect(answer).toMatchObject({ status: 200 })
    expect(await running.interrupt()).toBe(0)
    await expect(access(identity)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('writes a valid configuration to the folder that it is given, and leaves it there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cloud-script-'))
    await using cleanup = new AsyncDisposableStack()
    cleanup.defer(() => rm(folder, { recursive: true }))
    await using running = await runCloud(['--folder', join(folder, 'identity'), '--thing', 'dock-7'])

    await running.interrupt()

    const config = await readConfig(join(folder, 'identity'))
    expect(config.device.thingName).toBe('dock-7')
    expect(config.endpoints.s3).toBe(running.announced.endpoints.s3)
  })
})

interface RunningCloud extends AsyncDisposable {
  readonly announced: z.infer<typeof announced>
  /** Sends SIGINT and answers the exit code. */
  readonly interrupt: () => Promise<unknown>
}

async function runCloud(options: readonly string[]): Promise<RunningCloud> {
  const script = new URL('../../../scripts/cloud.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const interrupt = async (): Promise<unknown> => {
    child.kill('SIGINT')
    await exited
    return child.exitCode
  }
  return {
    announced: announced.parse(JSON.parse(await readAnnouncement(child))),
    interrupt,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** The text up to the line that closes the JSON. */
async function readAnnouncement(child: ChildProcessByStdio<null, Readable, null>): Promise<string> {
  let text = ''
  for await (const line of createInterface({ input: child.stdout })) {
    text += line
    if (line === '}') break
  }
  return text
}

async function readConfig(folder: string): Promise<Config> {
  return configSchema.parse(JSON.parse(await readFile(join(folder, 'agent.json'), 'utf8')))
}

async function readIdentity(folder: string) {
  const { device, identity } = await readConfig(folder)
  return {
    thingName: device.thingName,
    certificate: await readFile(identity.certificate, 'utf8'),
    privateKey: await readFile(identity.privateKey, 'utf8'),
    rootCa: await readFile(identity.rootCa, 'utf8'),
  }
}
