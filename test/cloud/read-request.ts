import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'

import type { CloudRequest } from './contract.ts'
import { firstNameOf } from './second-domain.ts'

const maxBodyBytes = 4 * 1024 * 1024
/** S3 takes 5 GiB; here a body is held in memory, and clients send larger objects in parts. */
const maxObjectBytes = 64 * 1024 * 1024

/** Reads a request with its whole body. `tooLarge` says that the body was over 4 MiB, for S3 64 MiB, and is left out. */
export async function readRequest(message: IncomingMessage): Promise<{ request: CloudRequest; tooLarge: boolean }> {
  const host = firstNameOf((message.headers.host ?? '').toLowerCase().replace(/:\d+$/, ''))
  const body = await readBody(message, host.endsWith('.s3.localhost') ? maxObjectBytes : maxBodyBytes)
  const url = message.url ?? '/'
  const queryStart = url.indexOf('?')
  const rawQuery = queryStart === -1 ? '' : url.slice(queryStart + 1)
  const request: CloudRequest = {
    id: randomUUID(),
    method: message.method ?? 'GET',
    host,
    rawPath: queryStart === -1 ? url : url.slice(0, queryStart),
    query: new URLSearchParams(rawQuery),
    rawQuery,
    headers: flatten(message.headers),
    body: body ?? new Uint8Array(),
    clientCertificate: message.socket instanceof TLSSocket ? message.socket.getPeerX509Certificate() : undefined,
  }
  return { request, tooLarge: body === undefined }
}

/** Reads on to the end even when the body is too large, so that the client gets to see the answer. */
async function readBody(message: IncomingMessage, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of message) {
    if (!Buffer.isBuffer(chunk)) continue
    bytes += chunk.length
    if (bytes <= maxBytes) chunks.push(chunk)
  }
  return bytes <= maxBytes ? Buffer.concat(chunks) : undefined
}

function flatten(headers: IncomingMessage['headers']): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = typeof value === 'string' ? value : value.join(',')
  }
  return flat
}
