import type { DoctorReport, Finding, Level } from './doctor-check.ts'

export interface ReportHead {
  readonly at: string
  readonly agent: string
  readonly user: string
}

export function doctorReport(head: ReportHead, findings: readonly Finding[]): DoctorReport {
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length
  const counts = { pass: count('pass'), warn: count('warn'), fail: count('fail'), skip: count('skip') }
  return { version: 1, ...head, counts, findings }
}
