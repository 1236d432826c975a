import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, it } from 'vitest'

import { runCommand } from '../../support/run-command.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const hook = join(import.meta.dirname, '../../../config/cloud/provisioning/pre-provisioning-hook.mjs')
const certificate = 'a'.repeat(64)

/** Of a rotation of the thing that the stub of the SDK knows by its certificate. */
const rotation = {
  claimCertificateId: certificate,
  certificateId: 'b'.repeat(64),
  certificatePem: 'pem',
  templateArn: 'arn:aws:iot:us-west-2:123456789012:provisioningtemplate/panorama-appliance-rotation',
  clientId: 'panorama_SN-1',
  parameters: { ThingName: 'panorama_SN-1' },
}

/** What AWS Lambda has of the SDK, as far as the hook uses it; `send` is what the script makes of it. */
const sdk = `
export class ListPrincipalThingsCommand {
  constructor(input) { this.input = input }
}
export class IoTClient {
  constructor(options) { globalThis.clients.push(options) }
  send(command, options = {}) { return globalThis.send(command.input, options.abortSignal) }
}
`

/** Runs the hook where the SDK is beside it, as in AWS Lambda, and answers what the script printed. */
async function inLambda(script: string): Promise<unknown> {
  await using folder = await tempFolder()
  const module = join(folder.path, 'node_modules/@aws-sdk/client-iot')
  await mkdir(module, { recursive: true })
  await writeFile(join(module, 'package.json'), '{"type":"module","exports":"./index.js"}')
  await writeFile(join(module, 'index.js'), sdk)
  await copyFile(hook, join(folder.path, 'pre-provisioning-hook.mjs'))
  const prelude = `globalThis.clients = []; console.log = () => {}
    const print = (value) => process.stdout.write(JSON.stringify(value))
    const { handler } = await import('./pre-provisioning-hook.mjs')\n`
  await writeFile(join(folder.path, 'script.mjs'), prelude + script)
  const { stdout } = await runCommand(process.execPath, [join(folder.path, 'script.mjs')], { withinMs: 20_000 })
  return JSON.parse(stdout) as unknown
}

describe('the pre-provisioning hook in AWS Lambda', () => {
  it('asks AWS IoT for the things of the certificate, by one client, with few attempts', async () => {
    const script = `
      const asked = []
      globalThis.send = async (input) => {
        asked.push(input)
        return input.nextToken === undefined ? { things: ['other'], nextToken: 'more' } : { things: ['panorama_SN-1'] }
      }
      const rotation = ${JSON.stringify(rotation)}
      const other = { ...rotation, clientId: 'panorama_SN-2', parameters: { ThingName: 'panorama_SN-2' } }
      const answers = [await handler(rotation), await handler(other)]
      print({ answers, asked: asked.slice(0, 2), clients: globalThis.clients })`
    const principal = `arn:aws:iot:us-west-2:123456789012:cert/${certificate}`
    expect(await inLambda(script)).toEqual({
      answers: [{ allowProvisioning: true }, { allowProvisioning: false }],
      asked: [{ principal }, { principal, nextToken: 'more' }],
      clients: [{ maxAttempts: 2 }],
    })
  })

  it('gives AWS IoT up, which refuses, before AWS IoT gives the hook up', async () => {
    const script = `
      const waits = []
      AbortSignal.timeout = (ms) => {
        waits.push(ms)
        return AbortSignal.abort(new Error('too late'))
      }
      const alive = setInterval(() => undefined, 1_000)
      globalThis.send = (_input, signal) => new Promise((_resolve, reject) => {
        if (signal?.aborted) reject(signal.reason)
      })
      const outcome = await handler(${JSON.stringify(rotation)}).catch((error) => error.message)
      clearInterval(alive)
      print({ outcome, isInTime: waits.every((ms) => ms < 5_000), waits: waits.length })`
    expect(await inLambda(script)).toEqual({ outcome: 'too late', isInTime: true, waits: 1 })
  })

  it('asks nobody about a claim', async () => {
    const claim = {
      ...rotation,
      templateArn: rotation.templateArn.replace('-rotation', ''),
      clientId: 'panorama-appliance-SN-1',
      parameters: { SerialNumber: 'SN-1' },
    }
    const script = `print({ answer: await handler(${JSON.stringify(claim)}), clients: globalThis.clients })`
    expect(await inLambda(script)).toEqual({ answer: { allowProvisioning: true }, clients: [] })
  })
})
