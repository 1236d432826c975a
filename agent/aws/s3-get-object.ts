import { Readable } from 'node:stream'

import { GetObjectCommand, type GetObjectCommandInput, type S3Client } from '@aws-sdk/client-s3'

import { AgentError } from '../lib/errors.ts'
import { wholeChecksum, type WholeChecksum } from './whole-checksum.ts'

/** What to get: one object, or a range of it, perhaps in one version only. */
export interface GetObjectRequest {
  readonly key: string
  readonly ifMatch: string | undefined
  readonly versionId: string | undefined
  /** As in the header; undefined: all of the object. */
  readonly range: string | undefined
}

export interface GotObject {
  readonly body: Readable
  readonly etag: string | undefined
  readonly contentRange: string | undefined
  /** What the reader has to check the body against; undefined when there is nothing, or the SDK does it. */
  readonly checksum: WholeChecksum | undefined
}

type Signer = Awaited<ReturnType<S3Client['config']['signer']>>
type HttpRequest = Parameters<Signer['sign']>[0]
type First = { readonly response: HttpResponse } | { readonly error: unknown }

/** As every handler of the SDK answers, header names in lower case; it is not typed so. */
interface HttpResponse {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** How the client asks one access point for an object, whichever. */
interface Way {
  /** With the headers that are the same for all. */
  readonly request: HttpRequest
  /** What stands before the key. */
  readonly path: string
  readonly signer: Signer
  readonly signing: { readonly signingRegion: string; readonly signingService: string }
}

/** Any key: where it ends up in the path tells what stands before it. */
const probeKey = 'key'
const keptHeaders = ['host', 'user-agent', 'x-amz-user-agent']

/**
 * GetObject as the client itself does it, at a small part of its cost where all goes well: the client says once how it
 * asks, and from then on each request is made from that, signed by its signer and sent by its handler. An answer that is
 * not simply the object, and a request that fails, is given to the client as the outcome of its own first try, so that
 * errors and retries are the SDK's. Throws what the client throws.
 */
export class S3GetObject {
  readonly #client: S3Client
  readonly #accessPoint: string
  #way: Promise<Way | undefined> | undefined

  constructor(client: S3Client, accessPoint: string) {
    this.#client = client
    this.#accessPoint = accessPoint
  }

  /** The signal ends the request, but not the body. */
  async get(request: GetObjectRequest, abortSignal: AbortSignal): Promise<GotObject> {
    const way = await this.#findWay()
    const first = way === undefined ? undefined : await this.#tryOnce(way, request, abortSignal)
    const got = first === undefined || 'error' in first ? undefined : plainObject(first.response, request)
    return got ?? (await this.#getBySdk(request, { first, abortSignal }))
  }

  async #findWay(): Promise<Way | undefined> {
    const finding = (this.#way ??= this.#askClient())
    try {
      return await finding
    } catch (error) {
      if (this.#way === finding) this.#way = undefined
      throw error
    }
  }

  /** Lets the client make a request and takes it before it is sent. Undefined when it is not signed as expected. */
  async #askClient(): Promise<Way | undefined> {
    const command = new GetObjectCommand({ Bucket: this.#accessPoint, Key: probeKey })
    let found: Omit<Way, 'signer'> | undefined
    let scheme: Parameters<S3Client['config']['signer']>[0]
    command.middlewareStack.add(
      (_, context) => (args) => {
        scheme = context.endpointV2?.properties?.authSchemes?.[0]
        found = wayOf(args.request as HttpRequest, scheme)
        return Promise.resolve({ response: args.request, output: { $metadata: {} } })
      },
      { step: 'finalizeRequest', priority: 'low', name: 'takeRequest' },
    )
    await this.#client.send(command)
    return found === undefined ? undefined : { ...found, signer: await this.#client.config.signer(scheme) }
  }

  async #tryOnce(way: Way, request: GetObjectRequest, abortSignal: AbortSignal): Promise<First> {
    const { requestHandler, systemClockOffset } = this.#client.config
    const signed = await way.signer.sign(requestFor(way, request), {
      ...way.signing,
      signingDate: new Date(Date.now() + systemClockOffset),
    })
    try {
      return await requestHandler.handle(signed as Parameters<typeof requestHandler.handle>[0], { abortSignal })
    } catch (error) {
      abortSignal.throwIfAborted()
      return { error }
    }
  }

  async #getBySdk(
    request: GetObjectRequest,
    { first, abortSignal }: { readonly first: First | undefined; readonly abortSignal: AbortSignal },
  ): Promise<GotObject> {
    const command = new GetObjectCommand(inputOf(request, this.#accessPoint))
    const bodies = first !== undefined && 'response' in first ? [first.response.body] : []
    watchAnswers(command, first, (body) => bodies.push(body))
    try {
      const { Body: body, ETag: etag, ContentRange: contentRange } = await this.#client.send(command, { abortSignal })
      return { body: readable(body), etag, contentRange, checksum: undefined }
    } catch (error) {
      // the SDK leaves a body alone that it cannot make use of, and that keeps its connection
      for (const body of bodies) if (body instanceof Readable) body.destroy()
      throw error
    }
  }
}

/** In Node the SDK's body is a Readable; it comes typed for browsers too. */
export function readable(body: unknown): Readable {
  if (!(body instanceof Readable)) throw new AgentError('an object came without a body', { retryable: true })
  return body
}

function wayOf(
  { protocol, hostname, port, path, query, headers }: HttpRequest,
  scheme: { readonly name?: string; readonly signingRegion?: string; readonly signingName?: string } | undefined,
): Omit<Way, 'signer'> | undefined {
  const { name, signingRegion, signingName } = scheme ?? {}
  if (name !== 'sigv4' || signingRegion === undefined || signingName === undefined) return undefined
  if (!path.endsWith(`/${probeKey}`)) return undefined
  const kept = Object.fromEntries(Object.entries(headers).filter(([header]) => keptHeaders.includes(header)))
  return {
    request: {
      method: 'GET',
      protocol,
      hostname,
      path,
      headers: kept,
      ...(port === undefined ? {} : { port }),
      ...(query === undefined ? {} : { query }),
    },
    path: path.slice(0, -probeKey.length),
    signing: { signingRegion, signingService: signingName },
  }
}

function requestFor(
  { request: { headers, query, ...request }, path }: Way,
  { key, ifMatch, versionId, range }: GetObjectRequest,
): HttpRequest {
  return {
    ...request,
    path: path + key.split('/').map(encodeSegment).join('/'),
    query: { ...query, ...(versionId === undefined ? {} : { versionId }) },
    headers: {
      ...headers,
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
      ...(range === undefined ? { 'x-amz-checksum-mode': 'ENABLED' } : { range }),
    },
  }
}

/** As SigV4 wants it (RFC 3986): `encodeURIComponent` leaves five characters that are reserved. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function inputOf({ key, ifMatch, versionId, range }: GetObjectRequest, accessPoint: string): GetObjectCommandInput {
  return {
    Bucket: accessPoint,
    Key: key,
    IfMatch: ifMatch,
    VersionId: versionId,
    // whatever the client's default, the SDK checks what S3 holds a checksum for; that is of the whole object only
    ...(range === undefined ? { ChecksumMode: 'ENABLED' } : { Range: range }),
  }
}

/** Undefined when it is for the SDK to say what that is. */
function plainObject({ statusCode, headers, body }: HttpResponse, { range }: GetObjectRequest): GotObject | undefined {
  if (statusCode !== (range === undefined ? 200 : 206) || !(body instanceof Readable)) return undefined
  const checksum = range === undefined ? wholeChecksum(headers) : undefined
  return { body, etag: headers['etag'], contentRange: headers['content-range'], checksum }
}

/** Makes `first`, if any, what the first try of a command comes to, and tells of the body of every other. */
function watchAnswers(command: GetObjectCommand, first: First | undefined, onBody: (body: unknown) => void): void {
  let isFirst = first !== undefined
  command.middlewareStack.add(
    (next) => async (args) => {
      if (first === undefined || !isFirst) {
        const answer = await next(args)
        onBody((answer.response as HttpResponse).body)
        return answer
      }
      isFirst = false
      if ('error' in first) throw first.error
      return { response: first.response }
    },
    { step: 'deserialize', priority: 'low', name: 'watchAnswers' },
  )
}
