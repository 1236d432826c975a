import { request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { z } from 'zod'

import type { CloudCommand } from '../test/cloud/iot/cloud-commands.ts'

const answerTimeoutMs = 10_000
const refusal = z.object({ message: z.string() })

/** Where a cloud that was given this folder listens for commands. */
export function cloudSocket(folder: string): string {
  const path = join(folder, 'cloud.sock')
  // The system's bound on paths of sockets (sun_path), its final zero byte taken off.
  if (Buffer.byteLength(path) > 107) throw new Error(`${path} is too long for a socket: choose a shorter folder`)
  return path
}

/** Has the cloud that runs with this folder do it, and answers what it says. Throws an Error that says what is wrong. */
export async function askCloud(folder: string | undefined, command: CloudCommand): Promise<unknown> {
  const socketPath = cloudSocket(folder ?? missing('--folder (the one that the cloud was given)'))
  return JSON.parse(await post(socketPath, JSON.stringify(command)))
}

export function missing(option: string): never {
  throw new Error(`${option} is missing`)
}

async function post(socketPath: string, body: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const signal = AbortSignal.timeout(answerTimeoutMs)
  const asking = request({ socketPath, method: 'POST', path: '/', signal }, (response) => {
    text(response)
      .then((answer) => {
        if (response.statusCode === 200) resolve(answer)
        else reject(new Error(messageIn(answer)))
      })
      .catch(reject)
  })
  asking.once('error', (error) => {
    reject(
      new Error(
        `no local cloud with AWS IoT Core answers at ${socketPath}: ${error.message}\n` +
          'hint: start it with "npm run cloud -- --folder FOLDER", with mosquitto installed, and leave it running',
      ),
    )
  })
  asking.end(body)
  return await promise
}

function messageIn(answer: string): string {
  const { data } = refusal.safeParse(JSON.parse(answer))
  return data?.message ?? answer
}
