import { ServiceFault } from './contract.ts'
import { maxSkewMs, type SignatureProblem } from './sigv4.ts'

/** A refused signature with the status, code and text that the service's protocol has for it. */
export function signatureFault(service: string, problem: SignatureProblem): ServiceFault {
  switch (service) {
    case 's3':
      return s3Fault(problem)
    case 'sts':
      return stsFault(problem)
    default:
      return jsonFault(problem)
  }
}

const mismatchText =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.'

function s3Fault(problem: SignatureProblem): ServiceFault {
  switch (problem.kind) {
    case 'missing':
      return new ServiceFault(403, 'AccessDenied', 'Access Denied')
    case 'incomplete':
      return new ServiceFault(400, 'AuthorizationHeaderMalformed', problem.reason)
    case 'unknown-key':
      return new ServiceFault(
        403,
        'InvalidAccessKeyId',
        'The AWS Access Key Id you provided does not exist in our records.',
      )
    case 'invalid-token':
      return new ServiceFault(400, 'InvalidToken', 'The provided token is malformed or otherwise invalid.')
    case 'expired-token':
      return new ServiceFault(400, 'ExpiredToken', 'The provided token has expired.')
    case 'wrong-scope':
      return new ServiceFault(400, 'AuthorizationHeaderMalformed', scopeText(problem))
    case 'skewed':
      return new ServiceFault(
        403,
        'RequestTimeTooSkewed',
        'The difference between the request time and the current time is too large.',
      )
    case 'unsigned-headers':
      return new ServiceFault(403, 'AccessDenied', 'There were headers present in the request which were not signed')
    case 'mismatch':
      return new ServiceFault(403, 'SignatureDoesNotMatch', mismatchText)
    case 'body-hash':
      return new ServiceFault(
        400,
        'XAmzContentSHA256Mismatch',
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
      )
  }
}

function jsonFault(problem: SignatureProblem): ServiceFault {
  switch (problem.kind) {
    case 'missing':
      return new ServiceFault(400, 'MissingAuthenticationTokenException', 'Missing Authentication Token')
    case 'incomplete':
      return new ServiceFault(400, 'IncompleteSignatureException', problem.reason)
    case 'unknown-key':
    case 'invalid-token':
      return new ServiceFault(
        400,
        'UnrecognizedClientException',
        'The security token included in the request is invalid.',
      )
    case 'expired-token':
      return new ServiceFault(400, 'ExpiredTokenException', 'The security token included in the request is expired')
    case 'wrong-scope':
      return new ServiceFault(400, 'InvalidSignatureException', scopeText(problem))
    case 'skewed':
      return new ServiceFault(400, 'InvalidSignatureException', skewText(problem))
    case 'unsigned-headers':
      return new ServiceFault(400, 'InvalidSignatureException', unsignedText(problem))
    case 'mismatch':
    case 'body-hash':
      return new ServiceFault(400, 'InvalidSignatureException', mismatchText)
  }
}

function stsFault(problem: SignatureProblem): ServiceFault {
  switch (problem.kind) {
    case 'missing':
      return new ServiceFault(403, 'MissingAuthenticationToken', 'Request is missing Authentication Token')
    case 'incomplete':
      return new ServiceFault(400, 'IncompleteSignature', problem.reason)
    case 'unknown-key':
    case 'invalid-token':
      return new ServiceFault(403, 'InvalidClientTokenId', 'The security token included in the request is invalid.')
    case 'expired-token':
      return new ServiceFault(403, 'ExpiredToken', 'The security token included in the request is expired')
    case 'wrong-scope':
      return new ServiceFault(403, 'SignatureDoesNotMatch', scopeText(problem))
    case 'skewed':
      return new ServiceFault(403, 'SignatureDoesNotMatch', skewText(problem))
    case 'unsigned-headers':
      return new ServiceFault(403, 'SignatureDoesNotMatch', unsignedText(problem))
    case 'mismatch':
    case 'body-hash':
      return new ServiceFault(403, 'SignatureDoesNotMatch', mismatchText)
  }
}

function scopeText({ scope, expected }: Extract<SignatureProblem, { kind: 'wrong-scope' }>): string {
  return `Credential should be scoped to a valid region and service: '${scope}' is wrong; expecting '${expected}'.`
}

function unsignedText({ names }: Extract<SignatureProblem, { kind: 'unsigned-headers' }>): string {
  return `'${names.join(', ')}' must be a 'SignedHeader' in the AWS Authorization.`
}

function skewText({ requestMs, serverMs }: Extract<SignatureProblem, { kind: 'skewed' }>): string {
  const minutes = maxSkewMs / 60_000
  return requestMs < serverMs
    ? `Signature expired: ${basic(requestMs)} is now earlier than ${basic(serverMs - maxSkewMs)} (${basic(serverMs)} - ${minutes} min.)`
    : `Signature not yet current: ${basic(requestMs)} is still later than ${basic(serverMs + maxSkewMs)} (${basic(serverMs)} + ${minutes} min.)`
}

function basic(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/[-:]|\.\d+/g, '')
}
