import { brokenConstraint, invalidParameter } from './logs-faults.ts'

const maxNameLength = 512

/** Throws InvalidParameterException unless the name can be that of a log group (CreateLogGroup, "logGroupName"). */
export function checkGroupName(name: string | null | undefined): string {
  const checked = checkLength(name, 'logGroupName')
  if (!/^[.\-_/#A-Za-z0-9]+$/.test(checked)) {
    throw brokenConstraint(checked, 'logGroupName', patternConstraint('[\\.\\-_/#A-Za-z0-9]+'))
  }
  return checked
}

/** As checkGroupName, for a group to be made: the prefix `aws/` is Amazon's own. */
export function checkNewGroupName(name: string | null | undefined): string {
  const checked = checkGroupName(name)
  if (checked.toLowerCase().startsWith('aws/')) {
    throw invalidParameter('Log groups starting with AWS/ are reserved for AWS.')
  }
  return checked
}

/** Throws InvalidParameterException unless the name can be that of a log stream (CreateLogStream, "logStreamName"). */
export function checkStreamName(name: string | null | undefined): string {
  const checked = checkLength(name, 'logStreamName')
  if (!/^[^:*]*$/.test(checked)) throw brokenConstraint(checked, 'logStreamName', patternConstraint('[^:*]*'))
  return checked
}

function checkLength(name: string | null | undefined, member: string): string {
  if (name === undefined || name === null) throw brokenConstraint(null, member, 'Member must not be null')
  if (name === '') throw brokenConstraint(name, member, 'Member must have length greater than or equal to 1')
  if (name.length > maxNameLength) {
    throw brokenConstraint(name, member, `Member must have length less than or equal to ${maxNameLength}`)
  }
  return name
}

function patternConstraint(pattern: string): string {
  return `Member must satisfy regular expression pattern: ${pattern}`
}
