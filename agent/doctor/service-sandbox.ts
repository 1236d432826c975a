import type { UnitFacts } from './service-unit.ts'

/** What a unit keeps from its service, whatever the modes of files say (systemd.exec(5)). */
export interface Sandbox {
  /** Folders that it does not see, each with the setting that hides it. */
  readonly hidden: readonly { readonly folder: string; readonly by: string }[]
  /** The only folders that it may write in; undefined where there is no such bound. */
  readonly writable: readonly string[] | undefined
  /** Folders that systemd makes, and gives to the service with all that is in them, where they are not its own. */
  readonly made: readonly string[]
}

export interface SandboxFault {
  readonly why: string
  readonly hint: string
}

const dropIn = '/etc/systemd/system/panorama-agent.service.d/paths.conf'

export function sandboxOf({ settings }: Pick<UnitFacts, 'settings'>): Sandbox {
  const { protectHome, protectSystem, privateTmp, readWritePaths, stateDirectory, runtimeDirectory } = settings
  const hidesHome = protectHome === 'yes' || protectHome === 'tmpfs'
  const hidden = [
    ...(hidesHome ? ['/home', '/root', '/run/user'].map((folder) => ({ folder, by: 'ProtectHome=' })) : []),
    ...(isOn(privateTmp) ? ['/tmp', '/var/tmp'].map((folder) => ({ folder, by: 'PrivateTmp=' })) : []),
  ]
  const made = [
    ...words(stateDirectory).map((name) => `/var/lib/${name}`),
    ...words(runtimeDirectory).map((name) => `/run/${name}`),
  ]
  const writable = protectSystem === 'strict' ? [...made, ...words(readWritePaths)] : undefined
  return { hidden, writable, made }
}

/** Undefined where the sandbox is no obstacle. */
export function sandboxFault(
  path: string,
  need: 'read' | 'write',
  sandbox: Sandbox | undefined,
): SandboxFault | undefined {
  const hiding = sandbox?.hidden.find(({ folder }) => isIn(path, folder))
  if (hiding !== undefined) {
    const why = `${hiding.by} of panorama-agent.service hides ${hiding.folder}`
    return { why, hint: `move it out of ${hiding.folder}, and name it where it is then` }
  }
  if (need === 'read' || sandbox?.writable === undefined) return undefined
  if (sandbox.writable.some((folder) => isIn(path, folder))) return undefined
  return {
    why: 'ProtectSystem=strict of panorama-agent.service keeps it from writing there',
    hint:
      `write "[Service]" and, on the next line, "ReadWritePaths=${path}" into ${dropIn}, ` +
      'then systemctl daemon-reload and systemctl restart panorama-agent',
  }
}

export function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

function isOn(setting: string): boolean {
  return setting !== '' && setting !== 'no'
}

/** Names and paths, without the signs before them and what follows a colon. */
function words(text: string): readonly string[] {
  return text
    .split(/\s+/)
    .map((word) => word.replace(/^[-+]+/, '').replace(/:.*$/, ''))
    .filter((word) => word !== '')
}
