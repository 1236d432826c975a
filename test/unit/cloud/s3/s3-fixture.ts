import { randomUUID } from 'node:crypto'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'

import { ServiceFault, type Caller, type CloudRequest, type CloudService } from '../../../cloud/contract.ts'
import type { PolicyDocument, PolicyStatement } from '../../../cloud/iam/policy-document.ts'
import { createS3Service, type S3Admin } from '../../../cloud/s3/s3-service.ts'

export const account = '123456789012'
const region = 'us-west-2'
export const bucket = 'models'
export const accessPoint = 'panorama-demo'
export const accessPointArn = `arn:aws:s3:${region}:${account}:accesspoint/${accessPoint}`
export const bucketArn = `arn:aws:s3:::${bucket}`
export const modifiedAtMs = Date.UTC(2026, 4, 31, 12, 0, 0, 250)

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: Buffer
  readonly text: string
}

export interface SendOptions {
  readonly method?: string
  readonly host?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly policies?: readonly PolicyDocument[]
  readonly account?: string
}

export interface S3Fixture extends AsyncDisposable {
  readonly s3: CloudService & S3Admin
  readonly folder: string
  /** Sends a request for a path with its query, both as they go over the wire, and reads the whole answer. */
  readonly send: (target: string, options?: SendOptions) => Promise<Answer>
}

/**
 * A service with one bucket behind one access point. The role may read through access points named panorama*, and the
 * bucket delegates to the access points of its account.
 */
export async function startS3(options: { readonly versioned?: boolean } = {}): Promise<S3Fixture> {
  const temporary = await mkdtempDisposable(join(tmpdir(), 's3-'))
  const folder = join(temporary.path, 'objects')
  const s3 = createS3Service({ account, region, now: () => modifiedAtMs, folder })
  s3.createBucket(bucket, { policy: delegation(), ...options })
  s3.createAccessPoint({ name: accessPoint, bucket })
  return {
    s3,
    folder,
    send: (target, sent) => send(s3, target, sent),
    [Symbol.asyncDispose]: () => temporary[Symbol.asyncDispose](),
  }
}

export function policy(...statements: readonly Partial<PolicyStatement>[]): PolicyDocument {
  const defaults: PolicyStatement = { effect: 'Allow', actions: ['s3:*'], resources: ['*'], conditions: [] }
  return { version: '2012-10-17', statements: statements.map((statement) => ({ ...defaults, ...statement })) }
}

/** The S3 statement of the appliance's role. */
export function readThroughAccessPoints(): PolicyDocument {
  return policy({
    actions: ['s3:GetObject', 's3:ListBucket', 's3:GetObjectVersion'],
    resources: ['arn:aws:s3:*:*:accesspoint/panorama*'],
    conditions: [
      { operator: 'ArnLike', key: 's3:DataAccessPointArn', values: ['arn:aws:s3:*:*:accesspoint/panorama*'] },
    ],
  })
}

/** A bucket policy that leaves the decision to access points of the account. */
export function delegation(owner = account): PolicyDocument {
  return policy({
    principals: { AWS: ['*'] },
    resources: [bucketArn, `${bucketArn}/*`],
    conditions: [{ operator: 'StringEquals', key: 's3:DataAccessPointAccount', values: [owner] }],
  })
}

export function cloudRequest(target: string, { method = 'GET', host, headers = {} }: SendOptions = {}): CloudRequest {
  const [rawPath = '', rawQuery = ''] = target.split('?')
  return {
    id: randomUUID(),
    method,
    host: host ?? `${accessPoint}-${account}.s3.localhost`,
    rawPath,
    rawQuery,
    query: new URLSearchParams(rawQuery),
    headers,
    body: new Uint8Array(),
    clientCertificate: undefined,
  }
}

/** The content of every element of that name, still escaped. */
export function elements(xml: string, name: string): readonly string[] {
  return [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, 'g'))].map(([, content = '']) => content)
}

async function send(s3: CloudService, target: string, options: SendOptions = {}): Promise<Answer> {
  const request = cloudRequest(target, options)
  const response = await s3.handle(request, context(options)).catch((error: unknown) => {
    if (error instanceof ServiceFault) return s3.formatFault(error, request)
    throw error
  })
  const { status, headers = {}, body = '' } = response
  const bytes = body instanceof Readable ? Buffer.concat(await Array.fromAsync(body, toBuffer)) : Buffer.from(body)
  return { status, headers, bytes, text: bytes.toString() }
}

function toBuffer(chunk: unknown): Buffer {
  if (!(chunk instanceof Uint8Array)) throw new TypeError('a body of bytes was expected')
  return Buffer.from(chunk)
}

function context(options: SendOptions): Parameters<CloudService['handle']>[1] {
  const owner = options.account ?? account
  const caller: Caller = {
    arn: `arn:aws:sts::${owner}:assumed-role/appliance/session`,
    roleArn: `arn:aws:iam::${owner}:role/appliance`,
    account: owner,
    policies: options.policies ?? [readThroughAccessPoints()],
    context: {},
  }
  return { account, region, now: () => modifiedAtMs, caller }
}
