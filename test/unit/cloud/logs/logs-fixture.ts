import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'

import { z } from 'zod'

import { ServiceFault, type CloudRequest, type CloudService } from '../../../cloud/contract.ts'
import type { PolicyDocument } from '../../../cloud/iam/policy-document.ts'
import { createLogsService, type LogsAdmin } from '../../../cloud/logs/logs-service.ts'

export const account = '123456789012'
export const region = 'us-west-2'
export const group = '/aws/panorama/devices/device-1'
export const stream = 'occ_log'
export const startMs = Date.UTC(2026, 4, 31, 12)
export const hourMs = 3_600_000
export const dayMs = 24 * hourMs

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly bytes?: Uint8Array
  readonly policies?: readonly PolicyDocument[]
}

export interface LogsFixture {
  readonly logs: CloudService & LogsAdmin
  readonly clock: { nowMs: number }
  /** Sends an action and gives the answer, or the refusal in its shape, with its JSON read. */
  readonly send: (action: string, input: unknown, options?: SendOptions) => Promise<Answer>
  /** PutLogEvents to the fixture's stream. */
  readonly put: (events: readonly unknown[], options?: SendOptions) => Promise<Answer>
}

/** A service with one group and one stream in it, and a caller who may do everything. */
export function startLogs(options: { readonly maxStoredBytes?: number } = {}): LogsFixture {
  const clock = { nowMs: startMs }
  const logs = createLogsService({ account, region, now: () => clock.nowMs, ...options })
  logs.createGroup(group)
  logs.createStream(group, stream)
  const sendTo = (action: string, input: unknown, sent?: SendOptions) =>
    send(logs, logsRequest(action, input, sent), sent)
  return {
    logs,
    clock,
    send: sendTo,
    put: (logEvents, sent) => sendTo('PutLogEvents', { logGroupName: group, logStreamName: stream, logEvents }, sent),
  }
}

export function event(message: string, timestamp = startMs): { readonly timestamp: number; readonly message: string } {
  return { timestamp, message }
}

export function allow(actions: readonly string[], resources: readonly string[]): PolicyDocument {
  return { version: '2012-10-17', statements: [{ effect: 'Allow', actions, resources, conditions: [] }] }
}

export function logsRequest(action: string, input: unknown, { headers = {}, bytes }: SendOptions = {}): CloudRequest {
  return {
    id: randomUUID(),
    method: 'POST',
    host: 'logs.localhost',
    rawPath: '/',
    rawQuery: '',
    query: new URLSearchParams(),
    headers: { 'x-amz-target': `Logs_20140328.${action}`, ...headers },
    body: bytes ?? Buffer.from(JSON.stringify(input)),
    clientCertificate: undefined,
  }
}

export function gzipped(input: unknown): SendOptions {
  return { headers: { 'content-encoding': 'gzip' }, bytes: gzipSync(JSON.stringify(input)) }
}

const jsonObject = z.record(z.string(), z.unknown())

async function send(logs: CloudService, request: CloudRequest, { policies }: SendOptions = {}): Promise<Answer> {
  const caller = {
    arn: `arn:aws:sts::${account}:assumed-role/appliance/session`,
    roleArn: `arn:aws:iam::${account}:role/appliance`,
    account,
    policies: policies ?? [allow(['logs:*'], ['*'])],
    context: {},
  }
  const context = { account, region, now: () => startMs, caller }
  const response = await logs.handle(request, context).catch((error: unknown) => {
    if (error instanceof ServiceFault) return logs.formatFault(error, request)
    throw error
  })
  const { status, headers = {}, body } = response
  if (typeof body !== 'string') throw new TypeError('a body of text was expected')
  return { status, headers, text: body, body: body.startsWith('{') ? jsonObject.parse(JSON.parse(body)) : {} }
}
