import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { PolicyDocument } from '../iam/policy-document.ts'
import {
  checksumOf,
  etagOf,
  type ChecksumAlgorithm,
  type ChecksumType,
  type ObjectChecksum,
} from './object-checksum.ts'
import { compareUtf8 } from './utf8-order.ts'

export interface Bucket {
  readonly name: string
  readonly account: string
  readonly versioned: boolean
  readonly kmsKeyArn: string | undefined
  readonly policy: PolicyDocument | undefined
}

export interface AccessPoint {
  readonly name: string
  readonly arn: string
  readonly account: string
  readonly region: string
  readonly bucket: string
  readonly policy: PolicyDocument | undefined
}

export interface StoredObject {
  readonly kind: 'object'
  /** `null` in a bucket without versions, as S3 spells it. */
  readonly versionId: string
  /** The file that holds the bytes; it goes when a bucket without versions loses the object. */
  readonly path: string
  readonly sizeBytes: number
  readonly etag: string
  readonly checksum: ObjectChecksum
  readonly modifiedAtMs: number
  readonly contentType: string
  readonly metadata: Readonly<Record<string, string>>
  readonly kmsKeyArn: string | undefined
}

interface DeleteMarker {
  readonly kind: 'delete-marker'
  readonly versionId: string
}

export type ObjectVersion = StoredObject | DeleteMarker

export interface PutObjectOptions {
  readonly bucket: string
  readonly key: string
  /** A list of bodies is put as a multipart upload of these parts. */
  readonly body: Uint8Array | string | readonly Uint8Array[]
  /** Default CRC64NVME, as S3 does for objects put without a checksum. */
  readonly checksum?: ChecksumAlgorithm
  /** Of an object put in parts; default: the algorithm's. */
  readonly checksumType?: ChecksumType
  /** The bytes rotted after they were put: the checksum and the ETag stay those of what was put. */
  readonly rottenAt?: number
  /** Put as a multipart upload of that many parts of equal size (the last may be shorter), without S3's 5 MiB floor. */
  readonly multipartParts?: number
  /** Default: the bucket's. */
  readonly kmsKeyArn?: string
  readonly contentType?: string
  /** Names without `x-amz-meta-`; S3 keeps them in lower case. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Throws to keep what is there; nothing happens between it and the write. */
  readonly onlyIf?: (current: ObjectVersion | undefined) => void
}

/** Buckets, access points and objects: names in memory, bytes in files of `folder`, which the owner removes. */
export class S3Store {
  readonly #folder: string
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()
  readonly #accessPoints = new Map<string, AccessPoint>()
  /** Per bucket and key, newest first. */
  readonly #versions = new Map<string, Map<string, readonly ObjectVersion[]>>()
  readonly #sortedKeys = new Map<string, readonly string[]>()

  constructor({ folder, now }: { readonly folder: string; readonly now: () => number }) {
    this.#folder = folder
    this.#now = now
  }

  setBucket(bucket: Bucket): void {
    this.#buckets.set(bucket.name, bucket)
    if (!this.#versions.has(bucket.name)) this.#versions.set(bucket.name, new Map())
  }

  setAccessPoint(accessPoint: AccessPoint): void {
    this.bucket(accessPoint.bucket)
    this.#accessPoints.set(accessPointId(accessPoint), accessPoint)
  }

  findAccessPoint(address: { readonly name: string; readonly account: string }): AccessPoint | undefined {
    return this.#accessPoints.get(accessPointId(address))
  }

  /** Throws a RangeError for a bucket that was never created: a mistake in a test. */
  bucket(name: string): Bucket {
    const bucket = this.#buckets.get(name)
    if (bucket === undefined) throw new RangeError(`no bucket "${name}"`)
    return bucket
  }

  /** All versions of a key, newest first. */
  versions(bucket: string, key: string): readonly ObjectVersion[] {
    return this.#versions.get(bucket)?.get(key) ?? []
  }

  current(bucket: string, key: string): ObjectVersion | undefined {
    return this.versions(bucket, key)[0]
  }

  /** The keys with a current object, in the order of ListObjectsV2. */
  keys(bucket: string): readonly string[] {
    const known = this.#sortedKeys.get(bucket)
    if (known !== undefined) return known
    const objects = this.#versions.get(bucket) ?? new Map<string, readonly ObjectVersion[]>()
    const keys = [...objects.keys()].filter((key) => this.current(bucket, key)?.kind === 'object').sort(compareUtf8)
    this.#sortedKeys.set(bucket, keys)
    return keys
  }

  async putObject(options: PutObjectOptions): Promise<StoredObject> {
    const bucket = this.bucket(options.bucket)
    const object = await this.#store(options, bucket)
    try {
      options.onlyIf?.(this.current(bucket.name, options.key))
    } catch (error) {
      await rm(object.path, { force: true })
      throw error
    }
    await this.#add(bucket, options.key, object)
    return object
  }

  /** A bucket with versions gets a delete marker, any other loses the bytes. */
  async deleteObject({ bucket: name, key }: { readonly bucket: string; readonly key: string }): Promise<void> {
    const bucket = this.bucket(name)
    if (this.versions(name, key).length === 0) return
    await this.#add(bucket, key, bucket.versioned ? { kind: 'delete-marker', versionId: newVersionId() } : undefined)
  }

  async #store(options: PutObjectOptions, bucket: Bucket): Promise<StoredObject> {
    const { multipart, parts } = partsOf(options)
    const body = Buffer.concat(parts)
    if (options.rottenAt !== undefined) body.writeUInt8(body.readUInt8(options.rottenAt) ^ 1, options.rottenAt)
    const kmsKeyArn = options.kmsKeyArn ?? bucket.kmsKeyArn
    const path = join(this.#folder, randomUUID())
    await mkdir(this.#folder, { recursive: true })
    await writeFile(path, body)
    return {
      kind: 'object',
      versionId: bucket.versioned ? newVersionId() : 'null',
      path,
      sizeBytes: body.length,
      etag: etagOf(parts, { multipart, encrypted: kmsKeyArn !== undefined }),
      checksum: await checksumOf(parts, {
        algorithm: options.checksum ?? 'CRC64NVME',
        multipart,
        type: options.checksumType,
      }),
      modifiedAtMs: this.#now(),
      contentType: options.contentType ?? 'binary/octet-stream',
      metadata: options.metadata ?? {},
      kmsKeyArn,
    }
  }

  async #add(bucket: Bucket, key: string, version: ObjectVersion | undefined): Promise<void> {
    const before = this.versions(bucket.name, key)
    const added = version === undefined ? [] : [version]
    this.#versions.get(bucket.name)?.set(key, bucket.versioned ? [...added, ...before] : added)
    this.#sortedKeys.delete(bucket.name)
    if (bucket.versioned) return
    for (const old of before) {
      if (old.kind === 'object') await rm(old.path, { force: true })
    }
  }
}

function accessPointId({ name, account }: { readonly name: string; readonly account: string }): string {
  return `${account}/${name}`
}

function newVersionId(): string {
  return randomBytes(24).toString('base64url')
}

function partsOf({ body, multipartParts }: PutObjectOptions): {
  readonly multipart: boolean
  readonly parts: readonly Uint8Array[]
} {
  if (typeof body !== 'string' && !(body instanceof Uint8Array)) return { multipart: true, parts: body }
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  return { multipart: multipartParts !== undefined, parts: splitEvenly(bytes, multipartParts ?? 1) }
}

function splitEvenly(body: Uint8Array, count: number): readonly Uint8Array[] {
  const sizeBytes = Math.ceil(body.length / count)
  return Array.from({ length: count }, (_, index) => body.subarray(index * sizeBytes, (index + 1) * sizeBytes))
}
