import { redactText } from '../lib/redact.ts'

/**
 * What an update says beside the status. AWS IoT takes keys of `[a-zA-Z0-9:_-]{1,128}` and values of 1 to 1,024 characters
 * without any of Unicode's category C ("JobExecution", API reference of the IoT jobs data plane); how many pairs is not
 * documented today, 10 was the limit once.
 */
export type JobDetails = Readonly<Record<string, string>>

const maxPairs = 10
const maxKeyLength = 128
const maxValueLength = 1_024
const cut = '...'

/**
 * Makes what the service takes of anything: control characters become spaces, empty values are left out, what is too long
 * is cut and says so by three dots, and pairs after the tenth are left out. What gives a secret away by its shape is taken
 * out first: these texts come from anywhere, and stay in the cloud for as long as the job does.
 */
export function jobDetails(pairs: Readonly<Record<string, string | number | undefined>>): JobDetails {
  const kept = Object.entries(pairs).flatMap(([key, value]) => {
    const text = value === undefined ? '' : cleaned(String(value))
    return text === '' ? [] : [[cleanKey(key), text] as const]
  })
  return Object.fromEntries(kept.slice(0, maxPairs))
}

function cleaned(text: string): string {
  const printable = redactText(text)
    .toWellFormed()
    .replace(/\p{C}+/gu, ' ')
    .trim()
  return printable.length <= maxValueLength ? printable : `${wholeCharacters(printable)}${cut}`
}

/** No half of a surrogate pair at the end. */
function wholeCharacters(text: string): string {
  const shortened = text.slice(0, maxValueLength - cut.length)
  return /[\uD800-\uDBFF]$/.test(shortened) ? shortened.slice(0, -1) : shortened
}

function cleanKey(key: string): string {
  return key.replace(/[^a-zA-Z0-9:_-]/g, '_').slice(0, maxKeyLength) || '_'
}
