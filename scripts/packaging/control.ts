import { libraryDependencies, type LibraryVersions } from './library-versions.ts'
import type { Platform } from './platform.ts'

export interface ControlOptions {
  readonly platform: Platform
  readonly version: string
  /** Of all that is installed, in bytes. */
  readonly installedBytes: number
  readonly libraries: LibraryVersions
}

export const maintainer = 'Panorama agent maintainers <maintainers@panorama-agent.invalid>'

/** What else is needed: systemd runs the agent and makes its user, and procps has the kill that a reload uses. */
const programs = ['procps', 'systemd (>= 245)']

/** The control file of the binary package (Debian Policy, chapter 5). */
export function renderControl({ platform, version, installedBytes, libraries }: ControlOptions): string {
  return `Package: panorama-agent
Version: ${version}
Architecture: ${platform.architecture}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(installedBytes / 1024)}
Depends: ${[...libraryDependencies(libraries), ...programs].join(', ')}
Section: net
Priority: optional
Description: agent of vision appliances for artifacts, cameras and logs
 One long-running process that keeps a vision appliance in step with an AWS
 account, using nothing but the appliance's AWS IoT certificate: it syncs
 models, code and configuration from S3 access points, keeps the credentials
 of camera streams up to date, and uploads logs to CloudWatch Logs.
 .
 It brings its own Node.js runtime, needs no network to start, and runs
 without root under a hardened systemd unit.
`
}
