import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'

import { z } from 'zod'

import type { IotAdmin } from './iot-cloud.ts'
import { JobsControlError } from './jobs/jobs-control.ts'
import { notFound } from './shadows/shadows.ts'
import { ShadowRejection } from './shadows/shadow-requests.ts'

type Controlled = Pick<IotAdmin, 'jobs' | 'shadows'> & {
  readonly provisioning: Pick<IotAdmin['provisioning'], 'createClaim' | 'certificates'>
}

/** What another process may ask of a cloud that runs: one JSON object, posted. */
export const cloudCommand = z.discriminatedUnion('command', [
  z.strictObject({
    command: z.literal('create'),
    jobId: z.string(),
    targets: z.array(z.string()),
    document: z.string(),
    inProgressTimeoutInMinutes: z.number().optional(),
  }),
  z.strictObject({ command: z.literal('cancel'), jobId: z.string(), force: z.boolean() }),
  z.strictObject({
    command: z.literal('cancel-execution'),
    jobId: z.string(),
    thingName: z.string(),
    force: z.boolean(),
  }),
  z.strictObject({ command: z.literal('list') }),
  z.strictObject({ command: z.literal('get-shadow'), thingName: z.string(), shadowName: z.string() }),
  z.strictObject({ command: z.literal('create-claim') }),
  z.strictObject({ command: z.literal('list-certificates') }),
])

export type CloudCommand = z.infer<typeof cloudCommand>

const maxBodyBytes = 262_144

/**
 * Lets other processes of this user have jobs and claims made, and see shadows, by HTTP on a Unix socket. Throws an Error when a cloud
 * that runs has this socket already; one that a dead cloud left behind is replaced.
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

async function obey({ jobs, provisioning, shadows }: Controlled, command: CloudCommand): Promise<unknown> {
  switch (command.command) {
    case 'create': {
      const { jobId, targets, document, inProgressTimeoutInMinutes: minutes } = command
      jobs.createJob({
        jobId,
        targets,
        document,
        ...(minutes === undefined ? {} : { inProgressTimeoutInMinutes: minutes }),
      })
      return { jobId }
    }
    case 'cancel':
      jobs.cancelJob(command.jobId, { force: command.force })
      return { jobId: command.jobId, inProgress: thingsInProgress(jobs, command.jobId) }
    case 'cancel-execution': {
      const { jobId, thingName, force } = command
      jobs.cancelExecution(thingName, jobId, { force })
      return { jobId, thingName }
    }
    case 'list':
      return { jobs: jobs.listJobs() }
    case 'get-shadow': {
      const { thingName, shadowName } = command
      const shadow = shadows.get(thingName, shadowName)
      if (shadow === undefined) throw notFound(thingName, shadowName)
      return shadow
    }
    case 'create-claim':
      return await provisioning.createClaim()
    case 'list-certificates':
      return { certificates: provisioning.certificates() }
  }
}

function thingsInProgress(jobs: IotAdmin['jobs'], jobId: string): readonly string[] {
  const executions = jobs.listJobs().find((job) => job.jobId === jobId)?.executions ?? []
  return executions.filter(({ status }) => status === 'IN_PROGRESS').map(({ thingName }) => thingName)
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
