import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'

import { z } from 'zod'

import { cloudCommand, obey, type Controlled } from './cloud-commands.ts'
import { JobsControlError } from './jobs/jobs-control.ts'
import { ShadowRejection } from './shadows/shadow-requests.ts'

const maxBodyBytes = 262_144

/**
 * Lets other processes of this user do what operators of an account do, by HTTP on a Unix socket. Throws an Error when a
 * cloud that runs has this socket already; one that a dead cloud left behind is replaced.
 */
export async function openCloudDoor(iot: Controlled, socketPath: string): Promise<AsyncDisposable> {
  if (await isAnswered(socketPath)) throw new Error(`another local cloud has ${socketPath}`)
  await rm(socketPath, { force: true })
  const server = createServer((request, response) => {
    void answer(iot, request).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body))
    })
  })
  server.listen(socketPath)
  await once(server, 'listening')
  await chmod(socketPath, 0o600)
  return { [Symbol.asyncDispose]: () => close(server) }
}

async function answer(
  iot: Controlled,
  request: IncomingMessage,
): Promise<{ readonly status: number; readonly body: unknown }> {
  try {
    return { status: 200, body: await obey(iot, cloudCommand.parse(JSON.parse(await readText(request)))) }
  } catch (error) {
    const kinds = [JobsControlError, ShadowRejection, z.ZodError, SyntaxError]
    const known = kinds.some((kind) => error instanceof kind)
    return { status: known ? 400 : 500, body: { message: error instanceof Error ? error.message : String(error) } }
  }
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes > maxBodyBytes) throw new SyntaxError('the request is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

async function isAnswered(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath)
  const { promise, resolve } = Promise.withResolvers<boolean>()
  socket.once('connect', () => {
    resolve(true)
  })
  socket.once('error', () => {
    resolve(false)
  })
  try {
    return await promise
  } finally {
    socket.destroy()
  }
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
