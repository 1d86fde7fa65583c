/** Names for the parts of the API's schema that the dashboard uses; the shapes come from the OpenAPI document. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Figure = Schemas["Figure"];
export type Unit = Figure["unit"];
export type Effective = Schemas["Effective"];
export type LossLimit = Schemas["LossLimit"];
export type LossAnswer = Schemas["LossAnswer"];
export type MemoryEstimate = Schemas["MemoryEstimate"];
export type Check = Schemas["Check"];
export type Candidate = Schemas["Candidate"];
export type Elimination = Schemas["Elimination"];
export type Relaxation = Schemas["Relaxation"];
export type FrontierPoint = Schemas["FrontierPoint"];
export type Recommended = Schemas["Recommended"];
export type Infeasible = Schemas["Infeasible"];
export type Plan = Schemas["Plan"];
export type VariantRow = Schemas["VariantRow"];
export type VariantSort = Schemas["VariantSort"];
export type FileFormat = Schemas["FileFormat"];
export type Variant = Schemas["Variant"];
export type Artifact = Schemas["Artifact"];
export type Scheme = Schemas["Scheme"];
export type Precision = Schemas["Precision"];
export type Evaluation = Schemas["Evaluation"];
export type Profile = Schemas["Profile"];
export type ProfilePoint = Schemas["ProfilePoint"];
export type Distribution = Schemas["Distribution"];
export type Preset = Schemas["Preset"];
export type Job = Schemas["Job"];
export type JobState = Schemas["JobState"];
export type JobKind = Schemas["JobKind"];
export type Attempt = Schemas["Attempt"];
