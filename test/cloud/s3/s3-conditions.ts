import type { CloudRequest } from '../contract.ts'

/** Whether a conditional request goes on; the failed header is what S3 names in its 412. */
export type ConditionResult =
  | { readonly kind: 'met' }
  | { readonly kind: 'not-modified' }
  | { readonly kind: 'failed'; readonly header: 'If-Match' | 'If-Unmodified-Since' }

/**
 * Conditions in S3's order (GetObject, "Overriding response header values ... considerations"; RFC 9110, section 13):
 * an ETag that matches outweighs If-Unmodified-Since, one that does not match outweighs If-Modified-Since.
 */
export function checkConditions(
  headers: CloudRequest['headers'],
  object: { readonly etag: string; readonly modifiedAtMs: number },
): ConditionResult {
  const modifiedAtMs = Math.floor(object.modifiedAtMs / 1000) * 1000
  const ifMatch = headers['if-match']
  if (ifMatch !== undefined) {
    if (!matchesEtag(ifMatch, object.etag)) return { kind: 'failed', header: 'If-Match' }
  } else if (modifiedAtMs > (parseDate(headers['if-unmodified-since']) ?? Infinity)) {
    return { kind: 'failed', header: 'If-Unmodified-Since' }
  }
  const ifNoneMatch = headers['if-none-match']
  if (ifNoneMatch !== undefined) return { kind: matchesEtag(ifNoneMatch, object.etag) ? 'not-modified' : 'met' }
  const sinceMs = parseDate(headers['if-modified-since'])
  return { kind: sinceMs !== undefined && modifiedAtMs <= sinceMs ? 'not-modified' : 'met' }
}

/** S3 takes ETags with and without their quotes. */
function matchesEtag(header: string, etag: string): boolean {
  return header.split(',').some((candidate) => {
    const text = candidate.trim()
    return text === '*' || text === etag || `"${text}"` === etag
  })
}

function parseDate(header: string | undefined): number | undefined {
  const ms = Date.parse(header ?? '')
  return Number.isNaN(ms) ? undefined : ms
}
