import { createHash } from 'node:crypto'

import { ServiceFault, type CloudRequest, type CloudResponse } from '../contract.ts'
import { xmlElement, xmlTextElement } from './xml-text.ts'

/** An S3 refusal with the elements that its XML body carries between Message and RequestId ("Error responses"). */
export class S3Fault extends ServiceFault {
  readonly details: Readonly<Record<string, string | number>>

  constructor(
    [status, code]: readonly [number, string],
    message: string,
    options: { readonly details?: S3Fault['details']; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(status, code, message, options.headers)
    this.details = options.details ?? {}
  }
}

export function accessDenied(message = 'Access Denied'): S3Fault {
  return new S3Fault([403, 'AccessDenied'], message)
}

export function invalidArgument(message: string, name: string, value: string): S3Fault {
  return new S3Fault([400, 'InvalidArgument'], message, { details: { ArgumentName: name, ArgumentValue: value } })
}

/** What the service does not model, so that nobody takes silence for support. */
export function notImplemented(what: string): S3Fault {
  const message = 'A header or query you provided implies functionality that is not implemented.'
  return new S3Fault([501, 'NotImplemented'], message, { details: { Header: what } })
}

/** S3 answers HEAD and 304 without a body, so clients see the status only. */
export function formatS3Fault(fault: ServiceFault, request: CloudRequest): CloudResponse {
  const withBody = request.method !== 'HEAD' && fault.status !== 304
  return {
    status: fault.status,
    headers: { ...commonHeaders(request), ...(withBody ? xmlContent : {}), ...fault.headers },
    ...(withBody ? { body: errorDocument(fault, request) } : {}),
  }
}

/** The error document by itself: S3 can send it under status 200 once an answer has begun. */
export function errorDocument(fault: ServiceFault, request: CloudRequest): string {
  const details = fault instanceof S3Fault ? Object.entries(fault.details) : []
  const content = [
    xmlTextElement('Code', fault.code),
    xmlTextElement('Message', fault.message),
    ...details.map(([name, value]) => xmlTextElement(name, value)),
    xmlTextElement('RequestId', request.id),
    xmlTextElement('HostId', hostId(request)),
  ]
  return xmlDeclaration + xmlElement('Error', content.join(''))
}

/** On every answer of S3: the two ids that AWS support asks for. */
export function commonHeaders(request: CloudRequest): Readonly<Record<string, string>> {
  return { 'x-amz-request-id': request.id, 'x-amz-id-2': hostId(request), server: 'AmazonS3' }
}

export const xmlDeclaration = '<?xml version="1.0" encoding="UTF-8"?>\n'
export const xmlContent: Readonly<Record<string, string>> = { 'content-type': 'application/xml' }

function hostId(request: CloudRequest): string {
  return createHash('sha384').update(request.id).digest('base64')
}
