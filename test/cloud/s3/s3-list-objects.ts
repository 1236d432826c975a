import { z } from 'zod'

import type { CloudRequest, CloudResponse } from '../contract.ts'
import { onlyParameters } from './s3-address.ts'
import { findRefusal, type S3Door } from './s3-authorization.ts'
import { commonHeaders, invalidArgument, xmlContent, xmlDeclaration } from './s3-faults.ts'
import { listPage, type ListEntry, type ListPage } from './s3-list-page.ts'
import type { S3Store } from './s3-store.ts'
import { xmlTextElement } from './xml-text.ts'

const parameters = [
  'list-type',
  'prefix',
  'delimiter',
  'max-keys',
  'start-after',
  'continuation-token',
  'encoding-type',
]
const maxPageSize = 1000

export interface ListOptions {
  readonly store: S3Store
  /** Cuts every page below what was asked for, as S3 may: "Fewer than max-keys can be returned". */
  readonly pageSize: number
}

interface ListParameters {
  readonly prefix: string
  readonly delimiter: string | undefined
  readonly startAfter: string | undefined
  readonly token: string | undefined
  readonly maxKeys: number
  readonly encodesUrl: boolean
}

/** ListObjectsV2. The continuation token is opaque: a client that builds or changes one gets InvalidArgument. */
export function answerListObjects(request: CloudRequest, door: S3Door, options: ListOptions): CloudResponse {
  onlyParameters(request, parameters)
  const refusal = findRefusal(door, { action: 's3:ListBucket', context: listContext(request) })
  if (refusal !== undefined) throw refusal
  const wanted = readParameters(request)
  const page = listPage(options.store.keys(door.bucket.name), {
    prefix: wanted.prefix,
    delimiter: wanted.delimiter ?? '',
    after: wanted.token === undefined ? behindKey(wanted.startAfter) : readToken(wanted.token),
    maxEntries: Math.min(wanted.maxKeys, options.pageSize),
  })
  const body = xmlDeclaration + resultDocument(wanted, page, { ...options, door })
  return { status: 200, headers: { ...commonHeaders(request), ...xmlContent }, body }
}

function listContext({ query }: CloudRequest): Readonly<Record<string, string>> {
  const given = [
    ['s3:prefix', query.get('prefix')],
    ['s3:delimiter', query.get('delimiter')],
    ['s3:max-keys', query.get('max-keys')],
  ] as const
  return Object.fromEntries(given.flatMap(([name, value]) => (value === null ? [] : [[name, value]])))
}

function readParameters({ query }: CloudRequest): ListParameters {
  const encoding = query.get('encoding-type')
  if (encoding !== null && encoding !== 'url') {
    throw invalidArgument('Invalid Encoding Method specified in Request', 'encoding-type', encoding)
  }
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? undefined,
    startAfter: query.get('start-after') ?? undefined,
    token: query.get('continuation-token') ?? undefined,
    maxKeys: readMaxKeys(query.get('max-keys') ?? String(maxPageSize)),
    encodesUrl: encoding === 'url',
  }
}

function readMaxKeys(text: string): number {
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2 ** 31 - 1) {
    throw invalidArgument('Provided max-keys not an integer or within integer range', 'max-keys', text)
  }
  return Math.min(Number(text), maxPageSize)
}

function behindKey(key: string | undefined): ListEntry | undefined {
  return key === undefined ? undefined : { kind: 'key', key }
}

const tokenContent = z.union([
  z.strictObject({ kind: z.literal('key'), key: z.string() }),
  z.strictObject({ kind: z.literal('common-prefix'), prefix: z.string() }),
])

function writeToken(entry: ListEntry): string {
  return Buffer.from(JSON.stringify(entry)).toString('base64')
}

function readToken(token: string): ListEntry {
  try {
    return tokenContent.parse(JSON.parse(Buffer.from(token, 'base64').toString()))
  } catch {
    throw invalidArgument('The continuation token provided is incorrect', 'continuation-token', token)
  }
}

function resultDocument(
  wanted: ListParameters,
  page: ListPage,
  { store, door }: ListOptions & { readonly door: S3Door },
): string {
  const name = (text: string): string => (wanted.encodesUrl ? encodeListName(text) : text)
  const last = page.entries.at(-1)
  const content = [
    xmlTextElement('Name', door.accessPoint.name),
    xmlTextElement('Prefix', name(wanted.prefix)),
    xmlTextElement('Delimiter', wanted.delimiter === undefined ? undefined : name(wanted.delimiter)),
    xmlTextElement('StartAfter', wanted.startAfter === undefined ? undefined : name(wanted.startAfter)),
    xmlTextElement('ContinuationToken', wanted.token),
    xmlTextElement('NextContinuationToken', page.truncated && last ? writeToken(last) : undefined),
    xmlTextElement('KeyCount', page.entries.length),
    xmlTextElement('MaxKeys', wanted.maxKeys),
    xmlTextElement('EncodingType', wanted.encodesUrl ? 'url' : undefined),
    xmlTextElement('IsTruncated', page.truncated),
    ...page.entries.map((entry) => entryElement(entry, name, (key) => store.current(door.bucket.name, key))),
  ]
  return `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content.join('')}</ListBucketResult>`
}

function entryElement(
  entry: ListEntry,
  name: (text: string) => string,
  find: (key: string) => ReturnType<S3Store['current']>,
): string {
  if (entry.kind === 'common-prefix') {
    return `<CommonPrefixes>${xmlTextElement('Prefix', name(entry.prefix))}</CommonPrefixes>`
  }
  const object = find(entry.key)
  if (object?.kind !== 'object') return ''
  const content = [
    xmlTextElement('Key', name(entry.key)),
    xmlTextElement('LastModified', `${new Date(object.modifiedAtMs).toISOString().slice(0, -5)}.000Z`),
    xmlTextElement('ETag', object.etag),
    xmlTextElement('ChecksumAlgorithm', object.checksum.algorithm),
    xmlTextElement('ChecksumType', object.checksum.type),
    xmlTextElement('Size', object.sizeBytes),
    xmlTextElement('StorageClass', 'STANDARD'),
  ]
  return `<Contents>${content.join('')}</Contents>`
}

/** As S3 encodes names under `encoding-type=url`: a form's encoding, but with `/` and `*` left as they are. */
function encodeListName(text: string): string {
  return new URLSearchParams({ n: text }).toString().slice(2).replaceAll('%2F', '/')
}
