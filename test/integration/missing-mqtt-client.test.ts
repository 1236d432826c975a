import { execFile } from 'node:child_process'
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { promisify } from 'node:util'

import { expect, it } from 'vitest'

import { status } from '../../agent/commands/ask-agent.ts'
import type { DoctorReport, Finding } from '../../agent/doctor/doctor-check.ts'
import { createJobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { runDoctor } from '../support/doctor-site.ts'
import { tempFolder } from '../support/temp-folder.ts'

const root = join(import.meta.dirname, '..', '..')

/** The environment of a machine whose C library aws-crt takes for one that it has no binary for that loads. */
async function otherLibrary(folder: string): Promise<Readonly<Record<string, string>>> {
  const ldd = join(folder, 'ldd')
  await writeFile(ldd, '#!/bin/sh\necho musl libc\n')
  await chmod(ldd, 0o755)
  return { PATH: `${folder}:${process.env['PATH'] ?? ''}` }
}

it.skipIf(await lacksMosquitto('an MQTT client that cannot be loaded'))(
  'an agent whose MQTT client cannot be loaded says so in its status, and so does the doctor',
  async () => {
    await using site = await createJobsSite()
    await using folder = await tempFolder()
    const env = await otherLibrary(folder.path)
    const { configFile } = site.appliance
    const agent = site.start({ env })
    const lastError = { message: expect.stringContaining('the MQTT client cannot be loaded: ') as string }
    const report = await agent.until(({ jobs }) => jobs?.state === 'failing')
    expect(report).toMatchObject({ connection: { state: 'down', lastError }, jobs: { lastError, unreported: 0 } })
    await agent.until(({ credentials: [held] }) => held?.state === 'ok')

    const stdout = new PassThrough({ encoding: 'utf8' })
    const context = {
      signal: new AbortController().signal,
      stdout,
      stderr: stdout,
      service: {},
      onHangup: () => undefined,
    }
    await status({ configFile, json: false }, context)
    expect(String(stdout.read())).toMatch(
      /\njobs +failing .*\n +error +the MQTT client cannot be loaded: .*\n +hint +install/,
    )

    const failure = { level: 'fail', text: expect.stringContaining('the MQTT client cannot be loaded') as string }
    expect((await runDoctor({ configFile })).findings.get('mqtt')).toMatchObject(failure)
    await agent.stop()
    expect(await doctorOf(configFile, env)).toMatchObject({
      ...failure,
      hint: expect.stringContaining('install the package') as string,
    })
  },
)

/** What `panorama-agent doctor` finds about MQTT as a process of its own. */
async function doctorOf(configFile: string, env: Readonly<Record<string, string>>): Promise<Finding | undefined> {
  const run = promisify(execFile)(
    process.execPath,
    [join(root, 'agent', 'main.ts'), 'doctor', '--json', '--config', configFile],
    {
      env: { ...process.env, ...env },
      timeout: 60_000,
    },
  )
  const { stdout } = await run.catch((error: unknown) => error as { readonly stdout: string }) // it ends with 1: something fails
  return (JSON.parse(stdout) as DoctorReport).findings.find(({ id }) => id === 'mqtt')
}
