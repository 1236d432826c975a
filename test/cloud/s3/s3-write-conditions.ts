import type { CloudRequest } from '../contract.ts'
import { notImplemented, S3Fault } from './s3-faults.ts'
import type { ObjectVersion } from './s3-store.ts'

/**
 * Throws unless the object is as a conditional write wants it ("How to prevent object overwrites with conditional
 * writes"): If-None-Match takes `*` only, If-Match an ETag, and of an object that is not there it says NoSuchKey.
 */
export function checkWriteConditions({ headers }: CloudRequest, current: ObjectVersion | undefined): void {
  const ifNoneMatch = headers['if-none-match']
  const ifMatch = headers['if-match']
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') throw notImplemented('If-None-Match')
  if (ifNoneMatch !== undefined && current?.kind === 'object') throw failed('If-None-Match')
  if (ifMatch === undefined) return
  if (current?.kind !== 'object') throw new S3Fault([404, 'NoSuchKey'], 'The specified key does not exist.')
  if (ifMatch !== current.etag && `"${ifMatch}"` !== current.etag) throw failed('If-Match')
}

function failed(condition: string): S3Fault {
  return new S3Fault([412, 'PreconditionFailed'], 'At least one of the pre-conditions you specified did not hold', {
    details: { Condition: condition },
  })
}
