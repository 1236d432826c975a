import type { CloudRequest, CloudResponse, CloudService, ServiceContext } from '../contract.ts'
import { evaluatePolicies } from '../iam/evaluate.ts'
import type { PolicyDocument } from '../iam/policy-document.ts'
import { isS3Host, parseS3Host, s3ActionOf } from './s3-address.ts'
import type { S3Door } from './s3-authorization.ts'
import { accessDenied, commonHeaders, errorDocument, formatS3Fault, S3Fault, xmlContent } from './s3-faults.ts'
import { answerGetObject } from './s3-get-object.ts'
import { answerListObjects } from './s3-list-objects.ts'
import { MultipartUploads } from './s3-multipart.ts'
import { answerPutObject } from './s3-put-object.ts'
import { S3Store, type AccessPoint, type PutObjectOptions } from './s3-store.ts'

export interface S3ServiceOptions {
  readonly account: string
  readonly region: string
  /** The cloud's own time in milliseconds since 1970. */
  readonly now: () => number
  /** Holds the objects' bytes; made when needed, removed by its owner. */
  readonly folder: string
  readonly evaluate?: typeof evaluatePolicies
}

interface CreateBucketOptions {
  readonly policy?: PolicyDocument
  readonly versioned?: boolean
  /** The customer managed key that new objects are encrypted under. */
  readonly kmsKeyArn?: string
  readonly account?: string
}

interface CreateAccessPointOptions {
  readonly name: string
  readonly bucket: string
  readonly policy?: PolicyDocument
  readonly account?: string
  readonly region?: string
}

/** What an administrator, or S3 itself on a bad day, does to the service. Unknown names throw a RangeError. */
export interface S3Admin {
  readonly createBucket: (name: string, options?: CreateBucketOptions) => void
  readonly createAccessPoint: (options: CreateAccessPointOptions) => AccessPoint
  readonly setBucketPolicy: (bucket: string, policy: PolicyDocument | undefined) => void
  readonly setAccessPointPolicy: (name: string, policy: PolicyDocument | undefined, account?: string) => void
  readonly putObject: (options: PutObjectOptions) => Promise<{ readonly etag: string; readonly versionId: string }>
  readonly deleteObject: (object: { readonly bucket: string; readonly key: string }) => Promise<void>
  /** The keys of current objects in the order of ListObjectsV2. */
  readonly listKeys: (bucket: string) => readonly string[]
  /** The keys of multipart uploads that were begun and not ended. */
  readonly listUploads: (bucket: string) => readonly string[]
  /** The most entries that a page of a list holds from now on; 1000 at first. */
  readonly setPageSize: (maxEntries: number) => void
  /** The next `count` lists are answered with status 200 and this error in the body. */
  readonly failListsWithStatus200: (code: string, count: number) => void
  /** Whether an access point of another region answers 301 PermanentRedirect (at first) or serves from here. */
  readonly redirectOtherRegions: (redirects: boolean) => void
}

/**
 * S3 by access point: GetObject, HeadObject, ListObjectsV2, PutObject and multipart uploads as the API reference describes
 * them, authorised on the access point and on the bucket. Other actions are refused.
 */
export function createS3Service(options: S3ServiceOptions): CloudService & S3Admin {
  const store = new S3Store(options)
  const uploads = new MultipartUploads()
  const mood: Mood = { pageSize: 1000, listFaultCode: 'InternalError', listFaults: 0, redirects: true }
  return {
    name: 's3',
    serves: isS3Host,
    actionOf: s3ActionOf,
    handle: (request, context) => handle(request, context, { ...options, store, uploads, mood }),
    formatFault: formatS3Fault,
    ...createAdmin(store, mood, options),
    listUploads: (bucket) => uploads.keys(bucket),
  }
}

/** What tests change while the service runs. */
interface Mood {
  pageSize: number
  listFaultCode: string
  listFaults: number
  redirects: boolean
}

interface ServiceParts extends S3ServiceOptions {
  readonly store: S3Store
  readonly uploads: MultipartUploads
  readonly mood: Mood
}

async function handle(request: CloudRequest, context: ServiceContext, parts: ServiceParts): Promise<CloudResponse> {
  const door = openDoor(request, context, parts)
  const action = s3ActionOf(request)
  switch (action) {
    case 'GetObject':
    case 'HeadObject':
      return await answerGetObject(request, door, parts.store)
    case 'ListObjectsV2':
      if (parts.mood.listFaults > 0) return lateListFault(request, parts.mood)
      return answerListObjects(request, door, { store: parts.store, pageSize: parts.mood.pageSize })
    case 'PutObject':
      return await answerPutObject(request, door, parts.store)
    case 'CreateMultipartUpload':
      return parts.uploads.create(request, door)
    case 'UploadPart':
      return await parts.uploads.put(request, door)
    case 'CompleteMultipartUpload':
      return await parts.uploads.complete(request, door, parts.store)
    case 'AbortMultipartUpload':
      return parts.uploads.abort(request, door)
    default:
      throw new S3Fault([405, 'MethodNotAllowed'], 'The specified method is not allowed against this resource.', {
        details: { Method: request.method, ResourceType: request.rawPath === '/' ? 'BUCKET' : 'OBJECT' },
      })
  }
}

function openDoor(request: CloudRequest, { caller }: ServiceContext, parts: ServiceParts): S3Door {
  if (request.host === 's3.localhost') {
    throw new S3Fault([400, 'InvalidRequest'], 'Buckets are reached through access points only.')
  }
  const address = parseS3Host(request.host)
  const accessPoint = address.kind === 'other' ? undefined : parts.store.findAccessPoint(address)
  if (accessPoint === undefined) {
    const details = { AccessPointName: request.host.replace('.s3.localhost', '') }
    throw new S3Fault([404, 'NoSuchAccessPoint'], 'The specified accesspoint does not exist', { details })
  }
  if (accessPoint.region !== parts.region && parts.mood.redirects) throw redirect(accessPoint)
  const bucket = parts.store.bucket(accessPoint.bucket)
  const owner = request.headers['x-amz-expected-bucket-owner'] ?? bucket.account
  if (owner !== bucket.account) throw accessDenied()
  return { caller, accessPoint, bucket, evaluate: parts.evaluate ?? evaluatePolicies }
}

function redirect({ name, account, region }: AccessPoint): S3Fault {
  const message =
    'The bucket you are attempting to access must be addressed using the specified endpoint. ' +
    'Please send all future requests to this endpoint.'
  return new S3Fault([301, 'PermanentRedirect'], message, {
    details: { Endpoint: `${name}-${account}.s3-accesspoint.${region}.amazonaws.com`, Bucket: name },
    headers: { 'x-amz-bucket-region': region },
  })
}

function lateListFault(request: CloudRequest, mood: Mood): CloudResponse {
  mood.listFaults--
  const fault = new S3Fault([200, mood.listFaultCode], 'We encountered an internal error. Please try again.')
  return {
    status: 200,
    headers: { ...commonHeaders(request), ...xmlContent },
    body: errorDocument(fault, request),
  }
}

function createAdmin(store: S3Store, mood: Mood, { account, region }: S3ServiceOptions): Omit<S3Admin, 'listUploads'> {
  return {
    createBucket: (name, bucket = {}) => {
      const { versioned = false, kmsKeyArn, policy } = bucket
      store.setBucket({ name, account: bucket.account ?? account, versioned, kmsKeyArn, policy })
    },
    createAccessPoint: (wanted) => {
      const home = { account: wanted.account ?? account, region: wanted.region ?? region }
      const arn = `arn:aws:s3:${home.region}:${home.account}:accesspoint/${wanted.name}`
      const accessPoint = { name: wanted.name, bucket: wanted.bucket, policy: wanted.policy, arn, ...home }
      store.setAccessPoint(accessPoint)
      return accessPoint
    },
    setBucketPolicy: (bucket, policy) => {
      store.setBucket({ ...store.bucket(bucket), policy })
    },
    setAccessPointPolicy: (name, policy, owner = account) => {
      const accessPoint = store.findAccessPoint({ name, account: owner })
      if (accessPoint === undefined) throw new RangeError(`no access point "${name}" of account ${owner}`)
      store.setAccessPoint({ ...accessPoint, policy })
    },
    putObject: async (object) => {
      const { etag, versionId } = await store.putObject(object)
      return { etag, versionId }
    },
    deleteObject: (object) => store.deleteObject(object),
    listKeys: (bucket) => store.keys(bucket),
    setPageSize: (maxEntries) => {
      mood.pageSize = maxEntries
    },
    failListsWithStatus200: (code, count) => {
      mood.listFaultCode = code
      mood.listFaults = count
    },
    redirectOtherRegions: (redirects) => {
      mood.redirects = redirects
    },
  }
}
