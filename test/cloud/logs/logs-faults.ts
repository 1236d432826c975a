import { ServiceFault, type CloudRequest, type CloudResponse } from '../contract.ts'

export type LogsResource = 'group' | 'stream'

export function invalidParameter(message: string): ServiceFault {
  return new ServiceFault(400, 'InvalidParameterException', message)
}

/** A broken constraint of the API model, in the sentence that AWS makes of it. */
export function brokenConstraint(value: string | null, member: string, constraint: string): ServiceFault {
  const shown = value === null ? 'null' : `'${value}'`
  return invalidParameter(
    `1 validation error detected: Value ${shown} at '${member}' failed to satisfy constraint: ${constraint}`,
  )
}

export function notFound(resource: LogsResource): ServiceFault {
  return new ServiceFault(400, 'ResourceNotFoundException', `The specified log ${resource} does not exist.`)
}

export function alreadyExists(resource: LogsResource): ServiceFault {
  return new ServiceFault(400, 'ResourceAlreadyExistsException', `The specified log ${resource} already exists`)
}

/** A body that cannot be read at all. */
export function unreadable(message: string): ServiceFault {
  return new ServiceFault(400, 'SerializationException', message)
}

/** How something between the appliance and AWS says that it does not let a compressed body pass. */
export const proxyRefusal: CloudResponse = {
  status: 400,
  headers: { 'content-type': 'text/html' },
  body: '<html><body><h1>400 Bad Request</h1>unsupported encoding</body></html>',
}

/** The JSON 1.1 shape; IAM's own refusal spells `Message`, as it does at AWS. */
export function formatLogsFault(fault: ServiceFault, request: CloudRequest): CloudResponse {
  const text = fault.code === 'AccessDeniedException' ? { Message: fault.message } : { message: fault.message }
  return {
    status: fault.status,
    headers: { ...jsonHeaders(request), ...fault.headers },
    body: JSON.stringify({ __type: fault.code, ...text }),
  }
}

export function jsonHeaders(request: CloudRequest): Readonly<Record<string, string>> {
  return { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': request.id }
}
